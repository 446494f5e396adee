//! Finds what a name in remote storage means: a file, a folder, or the files that match a pattern.

use std::sync::Arc;

use globset::GlobBuilder;

use super::folder::clash;
use super::retry::with_retries;
use super::{Transfer, web};
use crate::store::remote::{Remote, RemoteFile, TransferError};

/// What the caller expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One file.
    File,
    /// All files below a name, or those that match a pattern.
    Folder,
    /// Either.
    Any,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whether it is one file that was named as such.
    pub is_file: bool,
    /// The common prefix of all names that is not part of the names in the folder.
    pub prefix: String,
    /// The files, sorted by name.
    pub files: Vec<RemoteFile>,
}

/// Lists what exists.
///
/// # Errors
/// [`TransferError::NotFound`] when nothing does; [`TransferError::Permanent`] for names that cannot all be in one
/// local folder.
pub async fn look(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    name: &str,
    shape: Shape,
) -> Result<Found, TransferError> {
    if shape != Shape::Folder && !name.is_empty() && !name.ends_with('/') {
        match with_retries(transfer, || remote.describe(name)).await {
            Ok(file) => {
                let prefix = name[..name.rfind('/').map_or(0, |at| at + 1)].to_owned();
                return Ok(Found { is_file: true, prefix, files: vec![file] });
            }
            Err(TransferError::NotFound(_)) if shape == Shape::Any || is_pattern(name) => {}
            Err(TransferError::NotFound(_)) if is_folder(remote, name).await => {
                let address = remote.address(name);
                return Err(TransferError::Permanent(format!(
                    "{address} is a folder, not a file: use type: uri_folder"
                )));
            }
            Err(trouble) => return Err(trouble),
        }
    }
    let found = if is_pattern(name) {
        pattern(transfer, remote, name).await?
    } else {
        let prefix = if name.is_empty() || name.ends_with('/') { name.to_owned() } else { format!("{name}/") };
        let mut files = with_retries(transfer, || remote.list(&prefix)).await?;
        // A blob with the folder's own name is another tool's marker for the folder.
        files.retain(|file| file.name != prefix && !file.name.ends_with('/'));
        Found { is_file: false, prefix, files }
    };
    if found.files.is_empty() {
        let is_blob = shape == Shape::Folder && remote.describe(name.trim_end_matches('/')).await.is_ok();
        return Err(match is_blob {
            true => TransferError::Permanent(format!(
                "{} is a file, not a folder: use type: uri_file",
                remote.address(name)
            )),
            false => TransferError::NotFound(remote.address(name)),
        });
    }
    if shape == Shape::File {
        return match found.files.len() {
            1 => Ok(Found { is_file: true, ..found }),
            many => Err(TransferError::Permanent(format!(
                "{} matches {many} files, but must match one",
                remote.address(name)
            ))),
        };
    }
    if let Some(name) = clash(&found.files) {
        let address = remote.address(name);
        return Err(TransferError::Permanent(format!(
            "{address} is both a blob and a folder of blobs, which a local path cannot be"
        )));
    }
    Ok(found)
}

async fn is_folder(remote: &Arc<dyn Remote>, name: &str) -> bool {
    remote.list(&format!("{name}/")).await.is_ok_and(|files| !files.is_empty())
}

/// Whether a name is a pattern.
#[must_use]
pub fn is_pattern(name: &str) -> bool {
    name.contains('*')
}

/// The files that match a pattern: `*` within a name, `**` across folders.
async fn pattern(transfer: &Transfer, remote: &Arc<dyn Remote>, name: &str) -> Result<Found, TransferError> {
    let fixed = name.find('*').unwrap_or(name.len());
    let prefix = name[..name[..fixed].rfind('/').map_or(0, |at| at + 1)].to_owned();
    // Only stars are wildcards: a blob may be called `a[1]`.
    let plain = name.replace('[', "\0").replace(']', "[]]").replace('\0', "[[]");
    let plain = ['?', '{', '}'].iter().fold(plain, |name, c| name.replace(*c, &format!("[{c}]")));
    let glob = GlobBuilder::new(&plain).literal_separator(true).backslash_escape(false).build();
    let glob = glob
        .map_err(|e| TransferError::Permanent(format!("'{name}' is not a valid pattern: {}", e.kind())))?
        .compile_matcher();
    let mut files = with_retries(transfer, || remote.list(&prefix)).await?;
    files.retain(|file| glob.is_match(&file.name) && !file.name.ends_with('/'));
    Ok(Found { is_file: false, prefix, files })
}

impl Found {
    /// The local name of a single file.
    #[must_use]
    pub fn file_name(&self) -> String {
        let name = self.files.first().map_or("", |file| file.name.as_str());
        web::file_name(name)
    }
}

#[cfg(test)]
mod tests {
    use super::look as find;
    use super::*;
    use crate::store::remote::{Answer, Checksums, Chunks};
    use crate::transfer::Limits;

    /// Remote storage that has only names.
    struct Names(&'static [&'static str]);

    impl Remote for Names {
        fn address(&self, name: &str) -> String {
            format!("x/{name}")
        }
        fn describe<'a>(&'a self, name: &'a str) -> Answer<'a, RemoteFile> {
            let there = self.0.contains(&name);
            let found = if there { Ok(file(name)) } else { Err(TransferError::NotFound(self.address(name))) };
            Box::pin(std::future::ready(found))
        }
        fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<RemoteFile>> {
            let names = self.0.iter().filter(|name| name.starts_with(prefix));
            Box::pin(std::future::ready(Ok(names.map(|name| file(name)).collect())))
        }
        fn read<'a>(&'a self, _: &'a RemoteFile, _: Option<std::ops::Range<u64>>) -> Answer<'a, Chunks> {
            Box::pin(std::future::ready(Err(TransferError::Stopped)))
        }
    }

    fn file(name: &str) -> RemoteFile {
        RemoteFile {
            name: name.into(),
            size: Some(1),
            version: "1".into(),
            checksums: Checksums::default(),
            ranges: true,
        }
    }

    #[tokio::test]
    async fn names_folders_and_patterns_are_told_apart() {
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let transfer = Transfer::new(Limits::default(), stopped);
        let look = async |names: &'static [&'static str], name: &str, shape| {
            let remote: Arc<dyn Remote> = Arc::new(Names(names));
            match find(&transfer, &remote, name, shape).await {
                Ok(found) => {
                    let names: Vec<_> = found.files.iter().map(|f| f.name.as_str()).collect();
                    format!("{} {:?} {}", found.is_file, found.prefix, names.join(","))
                }
                Err(trouble) => trouble.to_string(),
            }
        };
        let all: &[&str] = &["d/a.csv", "d/b.txt", "d/e/c.csv", "d", "dd/x", "m/", "m/x"];
        assert_eq!(look(all, "d/a.csv", Shape::Any).await, "true \"d/\" d/a.csv");
        assert_eq!(look(all, "d", Shape::Folder).await, "false \"d/\" d/a.csv,d/b.txt,d/e/c.csv");
        assert_eq!(look(all, "d", Shape::Any).await, "true \"\" d");
        assert_eq!(look(all, "d/e", Shape::Any).await, "false \"d/e/\" d/e/c.csv");
        assert_eq!(look(all, "d/e", Shape::File).await, "x/d/e is a folder, not a file: use type: uri_folder");
        assert_eq!(look(all, "d/*.csv", Shape::Folder).await, "false \"d/\" d/a.csv");
        assert_eq!(look(all, "d/**/*.csv", Shape::Folder).await, "false \"d/\" d/a.csv,d/e/c.csv");
        let odd = look(&["a[1]{x}?.csv", "a1x.csv"], "a[1]{x}?*", Shape::Folder).await;
        assert_eq!(odd, "false \"\" a[1]{x}?.csv");
        assert_eq!(look(all, "d/*.csv", Shape::File).await, "true \"d/\" d/a.csv");
        assert_eq!(look(all, "m/", Shape::Folder).await, "false \"m/\" m/x");
        assert_eq!(look(all, "none/", Shape::Folder).await, "x/none/ was not found");
        let both = look(&["p/a", "p/a/b"], "p", Shape::Folder).await;
        assert!(both.contains("is both a blob and a folder"), "{both}");
    }
}
