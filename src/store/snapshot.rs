//! A step's code in its working directory, without what the author ignores (reference, section 1.9).

use std::fs;
use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{StoreError, at};
use crate::digest::{Links, walk};

/// Copies a `code:` file or folder into a working directory. Of a folder the ignore rules in its root are respected;
/// links are followed; folders that end up empty vanish; the workspace itself stays out. For components and nodes `__pycache__` stays out as well.
///
/// # Errors
/// When something cannot be read or written.
pub fn copy_code(code: &Path, wd: &Path, in_pipeline: bool, workspace: &Path) -> Result<(), StoreError> {
    if code.is_file() {
        let name = code.file_name().unwrap_or_default();
        let target = wd.join(name);
        fs::copy(code, &target).map_err(at("copy the code file", code))?;
        return Ok(());
    }
    let rules = Rules::read(code, in_pipeline)?;
    let mut made = std::collections::HashSet::new();
    // `code: .` holds the workspace, and the workspace holds this very working directory.
    let workspace = workspace.canonicalize().ok();
    let own = |folder: &Path| {
        folder.file_name().is_some_and(|name| name == ".amlrun") || folder.canonicalize().ok() == workspace
    };
    for file in walk(code, Links::Follow, &own).map_err(at("list the code folder", code))? {
        if rules.ignore(&file) {
            continue;
        }
        let target = wd.join(&file);
        if let Some(folder) = target.parent()
            && made.insert(folder.to_owned())
        {
            fs::create_dir_all(folder).map_err(at("make the folder", folder))?;
        }
        let source = code.join(&file);
        fs::copy(&source, &target).map_err(at("copy the code file", &source))?;
    }
    Ok(())
}

/// The lines of `.amlignore`, or of `.gitignore` where there is no `.amlignore`; other ignore files count for nothing.
///
/// Azure ML matches each pattern against each file on its own and lets the last match decide, so that a file below an
/// ignored folder can be taken back in, unlike in git. Hence one matcher for each line.
struct Rules {
    lines: Vec<Gitignore>,
}

impl Rules {
    fn read(root: &Path, in_pipeline: bool) -> Result<Self, StoreError> {
        let mut text = String::new();
        for name in [".amlignore", ".gitignore"] {
            let path = root.join(name);
            if path.is_file() {
                text = fs::read_to_string(&path).map_err(at("read", &path))?;
                break;
            }
        }
        let lines = text.lines().map(str::trim_end);
        let lines = lines.chain(in_pipeline.then_some("__pycache__"));
        let lines = lines.filter_map(|line| {
            let mut builder = GitignoreBuilder::new("");
            builder.add_line(None, line).ok()?;
            builder.build().ok().filter(|rule| !rule.is_empty())
        });
        Ok(Self { lines: lines.collect() })
    }

    fn ignore(&self, file: &Path) -> bool {
        let verdicts = self.lines.iter().map(|rule| rule.matched_path_or_any_parents(file, false));
        verdicts.rev().find(|verdict| !verdict.is_none()).is_some_and(|verdict| verdict.is_ignore())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::files_below;

    #[test]
    fn the_workspace_is_no_part_of_the_code() {
        let files = [("a.py", ""), ("work/runs/r/wd/a.py", ""), ("sub/.amlrun/x", "")];
        assert_eq!(copied(&files, false), ["a.py"]);
    }

    fn copied(files: &[(&str, &str)], in_pipeline: bool) -> Vec<String> {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = from.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        copy_code(from.path(), to.path(), in_pipeline, &from.path().join("work")).unwrap();
        let mut names: Vec<String> =
            files_below(to.path()).unwrap().into_iter().map(|p| p.display().to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn ignored_files_stay_out_and_the_ignore_file_itself_comes_along() {
        let files =
            [(".gitignore", "*.log\n/data/\n"), ("a.py", ""), ("x.log", ""), ("data/big", ""), ("sub/data/s", "")];
        assert_eq!(copied(&files, false), [".gitignore", "a.py", "sub/data/s"]);
    }

    #[test]
    fn amlignore_wins_over_gitignore() {
        assert_eq!(
            copied(&[(".amlignore", "b"), (".gitignore", "a"), ("a", ""), ("b", "")], false),
            [".amlignore", ".gitignore", "a"]
        );
    }

    #[test]
    fn a_file_below_an_ignored_folder_can_be_taken_back() {
        let files = [(".amlignore", "sub/deep/\n!sub/deep/keep.txt\n"), ("sub/deep/keep.txt", ""), ("sub/deep/x", "")];
        assert_eq!(copied(&files, false), [".amlignore", "sub/deep/keep.txt"]);
    }

    #[test]
    fn python_caches_stay_out_of_pipelines() {
        let files = [("a.py", ""), ("__pycache__/a.pyc", "")];
        assert_eq!(copied(&files, true), ["a.py"]);
        assert_eq!(copied(&files, false), ["__pycache__/a.pyc", "a.py"]);
    }
}
