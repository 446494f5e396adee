//! Copies on this machine, and the list of files that a local path selects.
//!
//! Each file appears under its name complete or not at all. Symbolic links are followed. A link that leads out of the
//! copied folder is refused, so that a copy never contains what the owner of the folder did not put there.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use globset::GlobBuilder;

use crate::fs::atomic::{PARTIAL, Temporary};
use crate::fs::walk::files_below;
use crate::store::remote::{Checksums, TransferError};
use crate::store::tree::TreeError;
use crate::transfer::{Transfer, checksum, is_unfinished, local};

/// How many bytes are copied between two checks for cancellation.
const PIECE: usize = 1 << 20;

/// The files that a path selects.
pub(crate) struct Gathered {
    /// Whether the path names a single file.
    pub is_file: bool,
    /// The folder that they are in.
    pub root: PathBuf,
    /// The files, in order of their paths.
    pub files: Vec<File>,
}

/// A file of a folder.
pub(crate) struct File {
    /// Its path in the folder.
    pub inner: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

/// The file at a path, all files below it, or the files that match it as a pattern. There is at least one, and none is
/// a link that leads out of the folder.
pub(crate) fn gather(from: &Path) -> Result<Gathered, TransferError> {
    let gathered = everything(from)?;
    if gathered.files.is_empty() {
        let shown = from.display();
        return Err(TransferError::NotFound(match from.is_dir() {
            true => format!("a file in the folder '{shown}'"),
            false => format!("a file that matches '{shown}'"),
        }));
    }
    let root = &gathered.root;
    if !gathered.is_file {
        let real = root.canonicalize().map_err(|e| local("read", root, &e))?;
        for file in &gathered.files {
            let path = root.join(&file.inner);
            if !path.canonicalize().map_err(|e| local("read", &path, &e))?.starts_with(&real) {
                return Err(TransferError::Permanent(TreeError::Leaves { link: path, root: root.clone() }.to_string()));
            }
        }
    }
    Ok(gathered)
}

/// As [`gather`], but links may lead anywhere, and the result may be empty.
pub(crate) fn everything(from: &Path) -> Result<Gathered, TransferError> {
    let size = |path: &Path| std::fs::metadata(path).map(|m| m.len()).map_err(|e| local("read", path, &e));
    let shown = from.display();
    if from.is_file() {
        let name = PathBuf::from(from.file_name().unwrap_or_default());
        let root = from.parent().unwrap_or(Path::new("")).to_owned();
        return Ok(Gathered { is_file: true, root, files: vec![File { inner: name, size: size(from)? }] });
    }
    let (folder, pattern) = match (from.exists(), pattern(from)?) {
        (true, _) => (from.to_owned(), None),
        (false, Some((folder, pattern))) => (folder, Some(pattern)),
        (false, None) => return Err(TransferError::NotFound(format!("the file or folder '{shown}'"))),
    };
    let root = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.clone() };
    if !root.exists() {
        return Err(TransferError::NotFound(format!("the file or folder '{shown}'")));
    }
    if !root.is_dir() {
        return Err(TransferError::Permanent(format!("{shown} is neither a file nor a folder")));
    }
    let mut files = files_below(&root).map_err(|e| TransferError::Permanent(format!("cannot read {e}")))?;
    files.retain(|file| !is_left_over(file) && pattern.as_ref().is_none_or(|glob| glob.is_match(folder.join(file))));
    files.sort();
    let file = |inner: PathBuf| Ok(File { size: size(&root.join(&inner))?, inner });
    let files = files.into_iter().map(file).collect::<Result<_, TransferError>>()?;
    Ok(Gathered { is_file: false, root, files })
}

/// The folder in which a pattern starts, and the pattern.
fn pattern(from: &Path) -> Result<Option<(PathBuf, globset::GlobMatcher)>, TransferError> {
    let Some(text) = from.to_str().filter(|text| text.contains('*')) else { return Ok(None) };
    let folder = text[..text.find('*').unwrap_or(0)].rfind('/').map_or("", |at| &text[..=at]);
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    let glob = glob.map_err(|e| TransferError::Permanent(format!("'{text}' is not a valid pattern: {}", e.kind())))?;
    Ok(Some((PathBuf::from(folder), glob.compile_matcher())))
}

/// Whether the file was left by an interrupted copy.
fn is_left_over(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    is_unfinished(&name) || name.starts_with(PARTIAL)
}

/// Copies on this machine. A file is copied to `to`, or `into` that folder.
pub(crate) async fn copy(transfer: &Transfer, from: &Path, to: &Path, into: bool) -> Result<(), TransferError> {
    let gathered = gather(from)?;
    if from.is_dir() && is_within(to, from) {
        let (to, from) = (to.display(), from.display());
        return Err(TransferError::Permanent(format!(
            "cannot copy a folder into itself: '{to}' is '{from}' or is inside it"
        )));
    }
    transfer.progress.expect(gathered.files.len() as u64, gathered.files.iter().map(|file| file.size).sum());
    for File { inner, size } in &gathered.files {
        let source = gathered.root.join(inner);
        let target = if gathered.is_file && !into && !to.is_dir() { to.to_owned() } else { to.join(inner) };
        if is_same_file(&source, &target) {
            let (from, to) = (source.display(), target.display());
            return Err(TransferError::Permanent(format!("'{from}' and '{to}' are the same file")));
        }
        if has_same_content(&source, &target, *size) {
            transfer.progress.file_skipped(*size);
            continue;
        }
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(|e| local("create the folder", folder, &e))?;
        }
        one(transfer, &source, &target).await?;
        transfer.progress.file_moved();
    }
    Ok(())
}

/// Copies one file in pieces. The copy can be canceled between two pieces.
async fn one(transfer: &Transfer, from: &Path, to: &Path) -> Result<(), TransferError> {
    if to.is_dir() {
        return Err(TransferError::Permanent(format!(
            "{} is a folder, but {} is a file",
            to.display(),
            from.display()
        )));
    }
    let new = Temporary::beside(to);
    let mut source = std::fs::File::open(from).map_err(|e| local("read", from, &e))?;
    let mut out = new.create().map_err(|e| local("write", to, &e))?;
    let mut piece = vec![0; PIECE];
    loop {
        let read = source.read(&mut piece).map_err(|e| local("read", from, &e))?;
        if read == 0 {
            break;
        }
        out.write_all(&piece[..read]).map_err(|e| local("write", to, &e))?;
        transfer.progress.moved(read as u64);
        tokio::task::yield_now().await;
    }
    let placed = source.metadata().and_then(|stat| {
        use std::os::unix::fs::PermissionsExt as _;
        // Sealed files of a workspace are read-only. The owner of the copy may write to it.
        let mode = stat.permissions().mode() | 0o200;
        out.set_permissions(std::fs::Permissions::from_mode(mode & 0o777))?;
        new.place()
    });
    placed.map_err(|e| local("write", to, &e))
}

/// Whether a path is a folder or would be in it.
fn is_within(path: &Path, folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return false };
    let there = path.ancestors().find_map(|above| {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        above.canonicalize().ok()
    });
    there.is_some_and(|there| there.starts_with(&folder))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |path: &Path| std::fs::metadata(path).map(|stat| (stat.dev(), stat.ino())).ok();
    id(one).is_some_and(|one| id(other) == Some(one))
}

fn has_same_content(from: &Path, to: &Path, size: u64) -> bool {
    let same_size = std::fs::symlink_metadata(to).is_ok_and(|stat| stat.is_file() && stat.len() == size);
    let crc = |path: &Path| checksum::of_file(path, Checksums { md5: None, crc64: Some(0) }).ok();
    same_size && crc(from).is_some_and(|own| crc(to) == Some(own))
}
