//! The files of a step's code, without those that the author ignores, and with additional includes (reference,
//! section 1.9).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{StoreError, at};
use crate::digest::tree_path;
use crate::fs::walk::{Found, Links, walk};

/// The files of a step's working directory before it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The path of each file relative to the working directory, and its source.
    files: BTreeMap<PathBuf, PathBuf>,
    /// Archives that are made from folders, with the files in each.
    archives: BTreeMap<PathBuf, BTreeMap<PathBuf, PathBuf>>,
}

impl Snapshot {
    /// Finds the files of `code:` and of `additional_includes`. The ignore rules in the root of a folder are
    /// respected. Links are followed. Empty folders and the workspace itself are left out. For components and nodes,
    /// `__pycache__` is left out as well. A later include replaces files at the same path.
    ///
    /// # Errors
    /// When a folder or its ignore file cannot be read.
    pub fn of(
        code: Option<&Path>,
        includes: &[PathBuf],
        in_pipeline: bool,
        workspace: &Path,
    ) -> Result<Self, StoreError> {
        let mut snapshot = Self::default();
        if let Some(code) = code {
            snapshot.add(code, Path::new(""), in_pipeline, workspace)?;
        }
        for include in includes {
            let name = PathBuf::from(include.file_name().unwrap_or_default());
            let folder = include.with_extension("");
            if include.exists() {
                let prefix = if include.is_dir() { name.as_path() } else { Path::new("") };
                snapshot.add(include, prefix, true, workspace)?;
            } else if include.extension().is_some_and(|e| e == "zip") && folder.is_dir() {
                // `pkg.zip` means the folder `pkg`, which Azure ML packs.
                let mut inside = Self::default();
                let prefix = Path::new(folder.file_name().unwrap_or_default());
                inside.add(&folder, prefix, true, workspace)?;
                snapshot.archives.insert(name, inside.files);
            } else {
                return Err(at("find the include", include)(std::io::ErrorKind::NotFound.into()));
            }
        }
        Ok(snapshot)
    }

    fn add(&mut self, root: &Path, prefix: &Path, in_pipeline: bool, workspace: &Path) -> Result<(), StoreError> {
        if root.is_file() {
            self.files.insert(root.file_name().unwrap_or_default().into(), root.to_owned());
            return Ok(());
        }
        let rules = Rules::read(root, in_pipeline)?;
        // `code: .` contains the workspace, and the workspace contains the working directories.
        let workspace = workspace.canonicalize().ok();
        let skip = |found: &Found<'_>| {
            // The target of a link may be missing or huge: a link that the author ignores is not followed.
            let ignored = found.is_link && (rules.ignore(found.relative, false) || rules.ignore(found.relative, true));
            let name = found.path.file_name();
            let is_workspace = || workspace.is_some() && found.path.canonicalize().ok() == workspace;
            ignored || name.is_some_and(|name| name == ".amlrun") || is_workspace()
        };
        for file in walk(root, Links::Follow, &skip).map_err(at("list the code folder", root))? {
            if !rules.ignore(&file, false) {
                self.files.insert(prefix.join(&file), root.join(&file));
            }
        }
        Ok(())
    }

    /// Every file by its name in the snapshot, as [`tree_path`] formats it; files of archives have the archive's name
    /// before theirs.
    #[must_use]
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let packed = self.archives.iter().flat_map(|(archive, files)| {
            let name = |name: &Path| format!("{}!/{}", tree_path(archive), tree_path(name));
            files.iter().map(move |(inner, source)| (name(inner), source.clone()))
        });
        self.files.iter().map(|(name, source)| (tree_path(name), source.clone())).chain(packed).collect()
    }

    /// Copies the files into a working directory.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn lay(&self, wd: &Path) -> Result<(), StoreError> {
        let mut made = std::collections::HashSet::new();
        for (name, source) in &self.files {
            let target = wd.join(name);
            if let Some(folder) = target.parent()
                && made.insert(folder.to_owned())
            {
                fs::create_dir_all(folder).map_err(at("create the folder", folder))?;
            }
            fs::copy(source, &target).map_err(at("copy the code file", source))?;
        }
        for (name, files) in &self.archives {
            pack(&wd.join(name), files).map_err(at("pack the include", &wd.join(name)))?;
        }
        Ok(())
    }
}

fn pack(archive: &Path, files: &BTreeMap<PathBuf, PathBuf>) -> std::io::Result<()> {
    let mut writer = zip::ZipWriter::new(fs::File::create(archive)?);
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let top = files.keys().next().filter(|name| name.components().count() > 1);
    if let Some(top) = top.and_then(|name| name.components().next()) {
        writer.add_directory(top.as_os_str().to_string_lossy(), options).map_err(std::io::Error::other)?;
    }
    for (name, source) in files {
        writer.start_file(name.to_string_lossy(), options).map_err(std::io::Error::other)?;
        writer.write_all(&fs::read(source)?)?;
    }
    writer.finish().map(drop).map_err(std::io::Error::other)
}

/// The lines of `.amlignore`, or of `.gitignore` if there is no `.amlignore`. Other ignore files have no effect.
///
/// Azure ML matches each pattern against each file separately, and the last match decides. So, unlike in git, a file
/// below an ignored folder can be included again. This needs one matcher for each line.
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

    fn ignore(&self, file: &Path, is_folder: bool) -> bool {
        let rules = self.lines.iter().map(|rule| rule.matched_path_or_any_parents(file, is_folder));
        rules.rev().find(|rule| !rule.is_none()).is_some_and(|rule| rule.is_ignore())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::walk::files_below;

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
        let snapshot = Snapshot::of(Some(from.path()), &[], in_pipeline, &from.path().join("work")).unwrap();
        snapshot.lay(to.path()).unwrap();
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
    fn ignored_links_are_not_followed() {
        use std::os::unix::fs::symlink;
        let from = tempfile::tempdir().unwrap();
        fs::create_dir_all(from.path().join("venv/bin")).unwrap();
        fs::write(from.path().join(".amlignore"), "venv/\nloop/\n*.lnk\n").unwrap();
        symlink("/no/such/python", from.path().join("venv/bin/python")).unwrap();
        symlink(from.path(), from.path().join("loop")).unwrap();
        symlink("gone", from.path().join("x.lnk")).unwrap();
        let snapshot = Snapshot::of(Some(from.path()), &[], true, &from.path().join("w")).unwrap();
        assert_eq!(snapshot.files().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), [".amlignore"]);
        symlink("gone", from.path().join("wanted")).unwrap();
        let error = Snapshot::of(Some(from.path()), &[], true, &from.path().join("w")).unwrap_err().to_string();
        assert!(error.contains("wanted"), "{error}");
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

    #[test]
    fn includes_lie_beside_the_code_and_a_missing_zip_is_made_of_its_folder() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["code/a.py", "lib/b.py", "lib/__pycache__/b.pyc", "one.txt", "pkg/c.py"] {
            let path = from.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let includes = ["lib", "one.txt", "pkg.zip"].map(|name| from.path().join(name));
        let snapshot = Snapshot::of(Some(&from.path().join("code")), &includes, true, &from.path().join("w")).unwrap();
        let names: Vec<String> = snapshot.files().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.py", "lib/b.py", "one.txt", "pkg.zip!/pkg/c.py"]);
        snapshot.lay(to.path()).unwrap();
        let mut archive = zip::ZipArchive::new(fs::File::open(to.path().join("pkg.zip")).unwrap()).unwrap();
        assert_eq!(archive.by_index(0).unwrap().name().unwrap(), "pkg/");
        assert_eq!(std::io::read_to_string(archive.by_name("pkg/c.py").unwrap()).unwrap(), "pkg/c.py");
    }
}
