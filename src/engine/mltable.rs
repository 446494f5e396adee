//! Prepares inputs with `eval_mount` and `eval_download`: the files that an MLTable selects, in a folder (reference,
//! section 3.4).

use std::path::{Path, PathBuf};

use crate::plan::Form;
use crate::plan::mltable::{Selected, selected};
use crate::store::tree;

/// Copies the files that the table in `folder` selects to `place`. The copies share their bytes where the file system
/// supports that. Hard links would be sufficient for a mount, but making one changes the stat of a file that others
/// are reading. `fetched` are the copies of the addresses in the table, in the same order.
pub(super) fn lay(folder: &Path, fetched: &[PathBuf], place: &Path) -> Result<(), String> {
    let mut fetched = fetched.iter();
    let put = |from: &Path, inner: &Path| {
        let to = place.join(inner);
        // Two paths of a table may select the same file.
        if to.exists() { Ok(()) } else { tree::copy_tree(from, &to).map_err(|e| e.to_string()) }
    };
    let name = |path: &Path| PathBuf::from(path.file_name().unwrap_or_default());
    for (number, selection) in selected(folder)?.into_iter().enumerate() {
        if selection.is_remote() {
            let from = fetched.next();
            let from = from.ok_or_else(|| {
                format!(
                    "its MLTable is in remote storage, and may not select files of another remote address: '{}'",
                    selection.path
                )
            })?;
            // Each address has its own folder, because two may end with the same name.
            let inner = PathBuf::from(number.to_string());
            put(from, &if from.is_file() { inner.join(name(from)) } else { inner })?;
            continue;
        }
        for (from, inner) in local(folder, &selection)? {
            put(&from, &inner)?;
        }
    }
    Ok(())
}

/// The files and folders in the table's own folder that are selected, with their relative paths.
fn local(folder: &Path, selection: &Selected) -> Result<Vec<(PathBuf, PathBuf)>, String> {
    let Selected { path, form } = selection;
    let inside = selection.inside().ok_or_else(|| format!("'{path}' is outside the folder of its MLTable"))?;
    let all = |from: &Path| crate::fs::walk::files_below(from).map_err(|e| e.to_string());
    if *form != Form::Any {
        let from = folder.join(&inside);
        return match (from.is_dir(), from.is_file()) {
            (true, _) => Ok(all(&from)?.into_iter().map(|file| (from.join(&file), inside.join(file))).collect()),
            (_, true) => Ok(vec![(from, inside)]),
            _ => Err(format!("its MLTable selects '{path}', which does not exist")),
        };
    }
    let glob = globset::GlobBuilder::new(&inside.to_string_lossy()).literal_separator(true).build();
    let glob = glob.map_err(|e| format!("'{path}' is not a valid pattern: {}", e.kind()))?.compile_matcher();
    let found: Vec<_> =
        all(folder)?.into_iter().filter(|file| glob.is_match(file)).map(|file| (folder.join(&file), file)).collect();
    if found.is_empty() { Err(format!("its MLTable selects '{path}', but no file matches")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_table_selects_is_laid_out() {
        let root = tempfile::tempdir().unwrap();
        let table = root.path().join("table");
        std::fs::create_dir_all(table.join("sub")).unwrap();
        for (name, text) in [("a.csv", "1"), ("b.txt", "2"), ("sub/c.csv", "3"), ("x.bin", "4")] {
            std::fs::write(table.join(name), text).unwrap();
        }
        let far = root.path().join("far.csv");
        std::fs::write(&far, "5").unwrap();
        let text = "paths: [{pattern: './**/*.csv'}, {folder: ./sub}, {file: ./b.txt}, {file: 'https://x/far.csv'}]";
        std::fs::write(table.join("MLTable"), text).unwrap();
        let place = root.path().join("place");
        lay(&table, &[far], &place).unwrap();
        let mut laid = crate::fs::walk::files_below(&place).unwrap();
        laid.sort();
        assert_eq!(laid, ["3/far.csv", "a.csv", "b.txt", "sub/c.csv"].map(PathBuf::from));
        std::fs::write(table.join("MLTable"), "paths: [{file: gone.csv}]").unwrap();
        assert!(lay(&table, &[], &root.path().join("other")).unwrap_err().contains("gone.csv"));
    }
}
