//! The stat cache: no file is read twice, no change is missed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;

use super::{rested, tick};
use crate::digest::Digest;
use crate::reuse::{Listing, Reuse, digest_of, read_tree};

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_tree_that_nobody_touched_is_not_read_again() {
    let root = tempfile::tempdir().unwrap();
    let (tree, kept) = (root.path().join("tree"), root.path().join("reuse"));
    for file in ["a", "b/c", "b-d"] {
        write(&tree.join(file), file);
    }
    let reuse = Reuse::open(&kept, root.path()).unwrap();
    let first = reuse.contents("tree", &rested(&tree)).unwrap();
    assert_eq!((first.read, first.files, first.bytes), (3, 3, 7));
    assert_eq!(first.digest, Digest::of_tree(&tree).unwrap());
    let again = reuse.contents("tree", &rested(&tree)).unwrap();
    assert_eq!((again.read, &again.digest), (0, &first.digest));

    // Another process on the same folder knows it too.
    let other = Reuse::open_existing(&kept, root.path()).unwrap().unwrap();
    assert_eq!(other.contents("tree", &rested(&tree)).unwrap().read, 0);
    assert_eq!(other.contents("other place", &rested(&tree)).unwrap().read, 3);
}

#[test]
fn an_edit_that_keeps_size_and_time_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let tree = root.path().join("tree");
    write(&tree.join("a"), "one");
    write(&tree.join("b"), "two");
    let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
    let first = reuse.contents("tree", &rested(&tree)).unwrap();
    let modified = fs::metadata(tree.join("a")).unwrap().modified().unwrap();
    tick(root.path());
    write(&tree.join("a"), "ONE");
    fs::File::options().write(true).open(tree.join("a")).unwrap().set_modified(modified).unwrap();
    let second = reuse.contents("tree", &rested(&tree)).unwrap();
    assert_eq!(second.read, 1);
    assert_ne!(second.digest, first.digest);
    assert_eq!(second.digest, Digest::of_tree(&tree).unwrap());
}

#[test]
fn a_file_that_had_not_rested_is_read_again_until_it_has() {
    let root = tempfile::tempdir().unwrap();
    let tree = root.path().join("tree");
    write(&tree.join("old"), "1");
    write(&tree.join("new"), "2");
    let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
    // A listing made at the moment in which the files were written.
    let mut at_once = Listing::of(&tree).unwrap();
    at_once.began = at_once.files.iter().map(|file| file.changed).max().unwrap();
    assert!(!at_once.rested());
    assert_eq!(reuse.contents("tree", &at_once).unwrap().read, 2);
    assert_eq!(reuse.contents("tree", &at_once).unwrap().read, 2, "nothing vouches for them yet");
    assert_eq!(reuse.contents("tree", &rested(&tree)).unwrap().read, 2);
    assert_eq!(reuse.contents("tree", &rested(&tree)).unwrap().read, 0);
    // The clock was set back: the files are in the future. Known files stay known, the others are read.
    let mut past = Listing::of(&tree).unwrap();
    past.began = 1;
    assert_eq!(reuse.contents("tree", &past).unwrap().read, 0);
    tick(root.path());
    write(&tree.join("new"), "3");
    let mut past = Listing::of(&tree).unwrap();
    past.began = 1;
    let contents = reuse.contents("tree", &past).unwrap();
    assert_eq!(contents.digest, Digest::of_tree(&tree).unwrap());
}

#[test]
fn what_changed_after_it_was_listed_has_no_digest() {
    let root = tempfile::tempdir().unwrap();
    let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
    for (number, change) in ["write", "replace", "mode", "remove"].into_iter().enumerate() {
        let tree = root.path().join(number.to_string());
        write(&tree.join("a"), "one");
        write(&tree.join("b"), "two");
        let listing = rested(&tree);
        let file = tree.join("b");
        match change {
            "write" => write(&file, "TWO"),
            "replace" => {
                write(&root.path().join("other"), "TWO");
                fs::rename(root.path().join("other"), &file).unwrap();
            }
            "mode" => fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap(),
            _ => fs::remove_file(&file).unwrap(),
        }
        assert!(reuse.contents("tree", &listing).is_err(), "{change}");
        assert!(digest_of(&listing).is_err(), "{change}");
        if change != "remove" {
            assert!(digest_of(&rested(&tree)).is_ok(), "{change}");
        }
    }
}

#[test]
fn one_file_alone_has_its_own_digest_under_any_name() {
    let root = tempfile::tempdir().unwrap();
    let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
    for name in ["b.csv", "a.csv"] {
        let file = root.path().join(name);
        write(&file, "1,2");
        let contents = reuse.contents(name, &rested(&file)).unwrap();
        assert_eq!(contents.digest, Digest::of_file(&file).unwrap());
        assert_eq!(contents.read, 1);
        // Touched, so that the stat cache checks file by file.
        tick(root.path());
        write(&file, "1,2");
        assert_eq!(reuse.contents(name, &rested(&file)).unwrap().read, 1);
        assert_eq!(reuse.contents(name, &rested(&file)).unwrap().read, 0);
    }
    // A folder with one file is different; so is an empty one, although an empty file has the same digest.
    let folder = root.path().join("folder");
    write(&folder.join("a.csv"), "1,2");
    assert_eq!(reuse.contents("a.csv", &rested(&folder)).unwrap().digest, Digest::of_tree(&folder).unwrap());
    fs::remove_file(folder.join("a.csv")).unwrap();
    assert_eq!(reuse.contents("a.csv", &rested(&folder)).unwrap().digest, Digest::of_tree(&folder).unwrap());
    write(&root.path().join("empty"), "");
    assert_eq!(reuse.contents("a.csv", &rested(&root.path().join("empty"))).unwrap().read, 1);
}

#[test]
fn code_from_several_places_is_one_tree() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("src/main.py"), "1");
    write(&root.path().join("shared/lib.py"), "2");
    let files = vec![
        ("main.py".to_owned(), root.path().join("src/main.py")),
        ("lib/lib.py".to_owned(), root.path().join("shared/lib.py")),
    ];
    let listing = Listing::of_files(files).unwrap();
    write(&root.path().join("as one/main.py"), "1");
    write(&root.path().join("as one/lib/lib.py"), "2");
    assert_eq!(digest_of(&listing).unwrap(), Digest::of_tree(&root.path().join("as one")).unwrap());
    assert!(Listing::of_files(vec![("x".to_owned(), root.path().join("src"))]).is_err());
}

#[test]
fn the_files_of_a_tree_are_known_by_its_digest() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("tree/a"), "1");
    let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
    let contents = reuse.contents("tree", &rested(&root.path().join("tree"))).unwrap();
    let manifest = reuse.manifest(&contents.digest).unwrap().unwrap();
    assert_eq!((manifest.files[0].path.as_str(), manifest.files[0].digest()), ("a", Digest::of(b"1")));
    assert_eq!(manifest.digest(), contents.digest);

    write(&root.path().join("output/b"), "2");
    let (digest, manifest) = read_tree(&Listing::of(&root.path().join("output")).unwrap()).unwrap();
    assert_eq!(reuse.manifest(&digest).unwrap(), None);
    reuse.remember(&digest, &manifest).unwrap();
    reuse.remember_many(&[(digest.clone(), manifest.clone())]).unwrap();
    assert_eq!(reuse.manifest(&digest).unwrap(), Some(manifest));
}

#[test]
fn what_nothing_names_is_pruned() {
    let root = tempfile::tempdir().unwrap();
    let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
    let mut digests = Vec::new();
    for name in ["stays", "goes", "code"] {
        let tree = root.path().join(name);
        write(&tree.join("f"), name);
        let place = tree.to_str().unwrap().to_owned();
        let place = if name == "code" { format!("code:{place}+includes") } else { place };
        digests.push(reuse.contents(&place, &rested(&tree)).unwrap().digest);
    }
    assert_eq!(reuse.prune().unwrap(), 0);
    fs::remove_dir_all(root.path().join("goes")).unwrap();
    assert_eq!(reuse.prune().unwrap(), 2, "the place and its files");
    let known: Vec<bool> = digests.iter().map(|digest| reuse.manifest(digest).unwrap().is_some()).collect();
    assert_eq!(known, [true, false, true]);
    assert!(reuse.size() > 0);
}

/// An edit of a tree.
#[derive(Clone, Debug)]
enum Edit {
    Write(usize, String),
    SameSize(usize),
    Delete(usize),
    Rename(usize, usize),
    Touch(usize),
    Swap(usize, usize),
}

const NAMES: [&str; 7] = ["a", "b", "d/a", "d/b", "d/e/f", "d-e", "d.x/y"];

fn edit() -> impl Strategy<Value = Edit> {
    let name = || 0..NAMES.len();
    prop_oneof![
        (name(), "[xy]{0,3}").prop_map(|(at, text)| Edit::Write(at, text)),
        name().prop_map(Edit::SameSize),
        name().prop_map(Edit::Delete),
        (name(), name()).prop_map(|(from, to)| Edit::Rename(from, to)),
        name().prop_map(Edit::Touch),
        (name(), name()).prop_map(|(one, other)| Edit::Swap(one, other)),
    ]
}

impl Edit {
    /// Applies the edit; an edit that is impossible (the file does not exist) is skipped.
    fn apply(&self, tree: &Path) {
        let at = |index: usize| tree.join(NAMES[index]);
        let restore = |path: &Path, modified| {
            fs::File::options().write(true).open(path).and_then(|file| file.set_modified(modified)).unwrap();
        };
        match self {
            Self::Write(index, text) => write(&at(*index), text),
            Self::SameSize(index) => {
                if let Ok(metadata) = at(*index).metadata() {
                    fs::write(at(*index), "z".repeat(metadata.len() as usize)).unwrap();
                    restore(&at(*index), metadata.modified().unwrap());
                }
            }
            Self::Delete(index) => drop(fs::remove_file(at(*index))),
            Self::Rename(from, to) => {
                fs::create_dir_all(at(*to).parent().unwrap()).unwrap();
                let _ = fs::rename(at(*from), at(*to));
            }
            Self::Touch(index) => {
                if at(*index).exists() {
                    restore(&at(*index), std::time::SystemTime::now());
                }
            }
            Self::Swap(one, other) => {
                let aside = tree.with_extension("aside");
                if one != other && at(*one).exists() && at(*other).exists() {
                    fs::rename(at(*one), &aside).unwrap();
                    fs::rename(at(*other), at(*one)).unwrap();
                    fs::rename(&aside, at(*other)).unwrap();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn contents_are_what_reading_everything_would_say(rounds in prop::collection::vec(
        (prop::collection::vec(edit(), 0..4), any::<bool>()), 1..8,
    )) {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        fs::create_dir_all(&tree).unwrap();
        let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
        for (edits, at_once) in rounds {
            // Immediate edits may have the same time as the file before; a listing made at once must not trust it.
            if !at_once {
                tick(root.path());
            }
            edits.iter().for_each(|edit| edit.apply(&tree));
            let listing = Listing::of(&tree).unwrap();
            let contents = reuse.contents("tree", &listing).unwrap();
            let truth = digest_of(&listing).unwrap();
            prop_assert_eq!(&contents.digest, &truth);
            prop_assert_eq!(reuse.manifest(&truth).unwrap().unwrap().files.len() as u64, contents.files);
        }
        let listing = rested(&tree);
        prop_assert_eq!(reuse.contents("tree", &listing).unwrap().digest, digest_of(&listing).unwrap());
        prop_assert_eq!(reuse.contents("tree", &rested(&tree)).unwrap().read, 0);
    }

    #[test]
    fn only_what_changed_is_read(edits in prop::collection::vec(edit(), 0..4)) {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        for name in NAMES {
            write(&tree.join(name), name);
        }
        let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
        reuse.contents("tree", &rested(&tree)).unwrap();
        tick(root.path());
        edits.iter().for_each(|edit| edit.apply(&tree));
        let listing = rested(&tree);
        let contents = reuse.contents("tree", &listing).unwrap();
        prop_assert_eq!(contents.digest, digest_of(&listing).unwrap());
        prop_assert!(contents.read <= 2 * edits.len() as u64);
    }
}
