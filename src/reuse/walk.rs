//! Finds the files below a folder, in order, with their stat.
//!
//! Folders are listed level by level, without recursion (a deep tree would need a deep stack), and on all cores if
//! there are enough entries. Entries are sorted folder by folder, which is cheaper than sorting all paths.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::stat::{FileStat, Special, neither};
use crate::digest::tree_path;
use crate::fs::at;

/// How many entries one thread handles before others are started, which costs more than that.
pub(super) const FEW: usize = 512;

/// An entry of a folder: a file, or the index of another folder.
enum Item {
    File(FileStat),
    Folder(usize),
}

/// An entry of a folder, before its folders have an index.
struct Found {
    what: Entry,
    /// The target of the link, if the entry is one. Most entries are not, and there are many, so this is kept small.
    link: Option<Box<str>>,
}

enum Entry {
    File(FileStat),
    Folder(Folder),
}

/// A folder to list: its path in the tree, with `/`, and its real path.
struct Folder {
    path: String,
    source: PathBuf,
    /// Whether its real path follows from its path in the tree.
    plain: bool,
}

/// Every file below a folder, in order, and the empty folders and links.
pub(super) fn below(root: &Path) -> io::Result<(Vec<FileStat>, Vec<Special>)> {
    let mut specials = Vec::new();
    let mut folders: Vec<Vec<Item>> = Vec::new();
    let mut level = vec![Folder { path: String::new(), source: root.to_owned(), plain: true }];
    let (mut count, mut seen) = (0, 0);
    while !level.is_empty() {
        let mut listed = Vec::with_capacity(level.len());
        let mut rest = level.as_slice();
        while let [folder, others @ ..] = rest
            && seen <= FEW
        {
            let found = list(folder)?;
            seen += found.len() + 1;
            listed.push(found);
            rest = others;
        }
        let more: io::Result<Vec<_>> = rest.par_iter().map(list).collect();
        listed.extend(more?);

        let mut next = Vec::new();
        for (folder, found) in level.iter().zip(listed) {
            if found.is_empty() && !folder.path.is_empty() {
                specials.push(Special { path: folder.path.clone(), target: None });
            }
            let items = found.into_iter().map(|found| {
                if let Some(target) = found.link {
                    specials.push(Special { path: found.what.path().to_owned(), target: Some(target.into()) });
                }
                match found.what {
                    Entry::File(file) => {
                        count += 1;
                        Item::File(file)
                    }
                    Entry::Folder(folder) => {
                        next.push(folder);
                        Item::Folder(next.len())
                    }
                }
            });
            folders.push(items.collect());
        }
        // The folders of this level were numbered from 1; those of the next level begin where this one ends.
        let first = folders.len() - level.len();
        let after = folders.len();
        for item in folders[first..].iter_mut().flatten() {
            if let Item::Folder(number) = item {
                *number += after - 1;
            }
        }
        level = next;
    }

    let mut files = Vec::with_capacity(count);
    let mut open = vec![std::mem::take(&mut folders[0]).into_iter()];
    while let Some(items) = open.last_mut() {
        match items.next() {
            Some(Item::File(file)) => files.push(file),
            Some(Item::Folder(number)) => open.push(std::mem::take(&mut folders[number]).into_iter()),
            None => drop(open.pop()),
        }
    }
    Ok((files, specials))
}

/// The entries of one folder, in order.
fn list(folder: &Folder) -> io::Result<Vec<Found>> {
    let wrong = |e| at(&folder.source, &e);
    let mut entries = fs::read_dir(&folder.source).map_err(wrong)?;
    // Each entry is dropped before the next is read, because keeping entries costs more than reading them.
    let mut found = Vec::new();
    for entry in entries.by_ref().take(FEW) {
        found.push(look(folder, &entry.map_err(wrong)?)?);
    }
    let rest = entries.collect::<io::Result<Vec<_>>>().map_err(wrong)?;
    let rest: io::Result<Vec<_>> = rest.par_iter().with_min_len(64).map(|entry| look(folder, entry)).collect();
    found.extend(rest?);
    found.sort_unstable_by(|a, b| a.what.path().cmp(b.what.path()));
    Ok(found)
}

impl Entry {
    fn path(&self) -> &str {
        match self {
            Self::File(file) => &file.path,
            Self::Folder(folder) => &folder.path,
        }
    }
}

fn look(folder: &Folder, entry: &DirEntry) -> io::Result<Found> {
    let name = entry.file_name();
    let source = || folder.source.join(&name);
    let wrong = |e: io::Error| at(&source(), &e);
    let linked = entry.file_type().map_err(wrong)?.is_symlink();
    // Through the open folder, which saves the system the path lookup.
    let metadata = if linked { fs::metadata(source()) } else { entry.metadata() }.map_err(wrong)?;
    let (path, as_named) = below_folder(&folder.path, &name);
    let plain = folder.plain && as_named;
    let target = || fs::read_link(source()).map(|target| tree_path(&target).into_boxed_str()).map_err(wrong);
    let link = linked.then(target).transpose()?;
    if metadata.is_file() {
        let real_path = (!plain).then(source);
        return Ok(Found { what: Entry::File(FileStat::new(path, real_path, &metadata)), link });
    }
    let source = source();
    if !metadata.is_dir() {
        return Err(neither(&source));
    }
    if linked && folder.source.canonicalize()?.starts_with(source.canonicalize()?) {
        let message = format!("{}: this symbolic link points to a folder above it", source.display());
        return Err(io::Error::other(message));
    }
    Ok(Found { what: Entry::Folder(Folder { path, source, plain }), link })
}

/// The name from [`tree_path`], without building a path; and whether it is the real name.
fn below_folder(folder: &str, name: &OsStr) -> (String, bool) {
    let text = match name.to_str() {
        Some(name) if !name.contains('\\') => Cow::Borrowed(name),
        _ => Cow::Owned(tree_path(Path::new(name))),
    };
    let as_named = matches!(text, Cow::Borrowed(_));
    let mut path = String::with_capacity(folder.len() + 1 + text.len());
    path.push_str(folder);
    if !folder.is_empty() {
        path.push('/');
    }
    path.push_str(&text);
    (path, as_named)
}
