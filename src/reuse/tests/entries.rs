//! Results of steps: stored, found, verified, removed.

use std::fs;
use std::path::{Path, PathBuf};

use super::tick;
use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::reuse::{Entry, Given, Kept, Key, Listing, OutputState, Reuse, ReuseError, digest_of, verify, verify_many};

fn output(path: &Path) -> Kept {
    let listing = Listing::of(path).unwrap();
    Kept {
        name: "out".to_owned(),
        kind: "uri_folder".to_owned(),
        path: path.to_owned(),
        fingerprint: listing.fingerprint(),
        digest: digest_of(&listing).unwrap(),
        files: listing.files.len() as u64,
        bytes: listing.bytes,
    }
}

fn made(folder: &Path, name: &str) -> Kept {
    let path = folder.join(name);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("file"), name).unwrap();
    output(&path)
}

fn entry(command: &str, run: &str, outputs: Vec<Kept>) -> Entry {
    Entry {
        key: Key { command: command.to_owned(), ..Key::default() },
        scope: "job.yml".to_owned(),
        step: "train".to_owned(),
        run: run.to_owned(),
        job: format!("{run}-train"),
        outputs,
        finished: Timestamp(5),
        duration_ms: 7,
        metrics: vec![("loss".to_owned(), 0.1), ("worst".to_owned(), f64::INFINITY)],
        offered: true,
    }
}

#[test]
fn the_newest_offered_result_is_found() {
    let root = tempfile::tempdir().unwrap();
    let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
    let first = entry("a", "run1", vec![made(root.path(), "one")]);
    let second = entry("a", "run2", vec![made(root.path(), "two")]);
    let hidden = Entry { offered: false, ..entry("a", "run3", vec![made(root.path(), "three")]) };
    let hash = first.key.hash();
    assert_eq!(reuse.find(&hash).unwrap(), None);
    reuse.keep(&[first.clone(), second.clone(), hidden.clone()]).unwrap();
    assert_eq!(reuse.find(&hash).unwrap().as_ref(), Some(&second));
    assert_eq!(reuse.find_many(&[hash.clone(), Digest::of(b"x")]).unwrap().get(&hash), Some(&second));
    assert_eq!(reuse.last("job.yml", "train").unwrap(), Some(hidden));
    assert_eq!(reuse.last("job.yml", "other").unwrap(), None);
    assert!(reuse.has_shape(&first.key.shape()).unwrap() && !reuse.has_shape(&hash).unwrap());

    // Two runners in one workspace: each sees what the other stores.
    let other = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
    other.forget_runs(&["run2".to_owned()]).unwrap();
    assert_eq!(reuse.find(&hash).unwrap().as_ref(), Some(&first));
    reuse.forget_paths(&[root.path().join("one")]).unwrap();
    assert_eq!(other.find(&hash).unwrap(), None);
    assert_eq!(other.entries().unwrap().len(), 1);
    other.forget(&[hash]).unwrap();
    assert_eq!(reuse.entries().unwrap(), []);
}

#[test]
fn the_same_result_kept_again_takes_the_place_of_the_first() {
    let root = tempfile::tempdir().unwrap();
    let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
    let one = made(root.path(), "one");
    reuse.keep(&[entry("a", "run1", vec![one.clone()]), entry("b", "run1", vec![one.clone()])]).unwrap();
    reuse.keep(&[entry("a", "run2", vec![one])]).unwrap();
    let runs: Vec<String> = reuse.entries().unwrap().into_iter().map(|entry| entry.run).collect();
    assert_eq!(runs, ["run1", "run2"]);
    assert_eq!(reuse.last("job.yml", "train").unwrap().unwrap().key.command, "a");
    reuse.forget_paths(&[root.path().join("one")]).unwrap();
    assert_eq!(reuse.entries().unwrap(), []);
}

#[test]
fn touched_edited_and_missing_outputs_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let names = ["same", "touched", "edited", "longer", "more", "gone", "file now"];
    let kept: Vec<Kept> = names.iter().map(|name| made(root.path(), name)).collect();
    let file = |name: &str| root.path().join(name).join("file");
    tick(root.path());
    fs::write(file("touched"), "touched").unwrap();
    fs::write(file("edited"), "EDITED").unwrap();
    fs::write(file("longer"), "longer than it was").unwrap();
    fs::write(root.path().join("more/second"), "").unwrap();
    fs::remove_dir_all(root.path().join("gone")).unwrap();
    fs::remove_dir_all(root.path().join("file now")).unwrap();
    fs::write(root.path().join("file now"), "file now").unwrap();
    let states: Vec<OutputState> = kept.iter().map(verify).collect();
    let fingerprint = Listing::of(&root.path().join("touched")).unwrap().fingerprint();
    let edited = || OutputState::Edited;
    let touched = OutputState::SameBytes(fingerprint.clone());
    assert_eq!(states, [OutputState::Same, touched, edited(), edited(), edited(), OutputState::Missing, edited()]);
    let many: Vec<&Kept> = kept.iter().cycle().take(200).collect();
    assert_eq!(verify_many(&many), states.iter().cloned().cycle().take(200).collect::<Vec<_>>());

    let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
    let entry = entry("a", "run1", kept);
    reuse.keep(std::slice::from_ref(&entry)).unwrap();
    reuse.refreshed(&[(root.path().join("touched"), fingerprint)]).unwrap();
    let found = reuse.find(&entry.key.hash()).unwrap().unwrap();
    assert_eq!(verify(&found.outputs[1]), OutputState::Same);
    assert_eq!(found.outputs[0], entry.outputs[0]);
}

#[test]
fn manifests_that_an_entry_names_stay() {
    let root = tempfile::tempdir().unwrap();
    let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
    let trees: Vec<_> = ["data", "code", "piece", "out", "nobody's"]
        .map(|name| {
            let kept = made(root.path(), name);
            crate::reuse::read_tree(&Listing::of(&kept.path).unwrap()).unwrap()
        })
        .to_vec();
    reuse.remember_many(&trees).unwrap();
    let mut entry = entry("a", "run1", vec![output(&root.path().join("out"))]);
    entry.key.code = Some(trees[1].0.clone());
    let mixed = Given::Mixed(vec![Given::Text("--x=".to_owned()), Given::Data(trees[2].0.clone())]);
    entry.key.inputs = [("data".to_owned(), Given::Data(trees[0].0.clone()))].into();
    entry.key.variables = [("X".to_owned(), mixed)].into();
    reuse.keep(&[entry]).unwrap();
    assert_eq!(reuse.prune().unwrap(), 1);
    let known: Vec<bool> = trees.iter().map(|tree| reuse.manifest(&tree.0).unwrap().is_some()).collect();
    assert_eq!(known, [true, true, true, true, false]);
}

#[test]
fn many_threads_and_two_databases_at_once_lose_nothing() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("reuse");
    std::thread::scope(|scope| {
        for runner in 0..4 {
            let (folder, base) = (&folder, root.path());
            scope.spawn(move || {
                let reuse = Reuse::open(folder, base).unwrap();
                for n in 0..20 {
                    let entry = entry(&format!("{runner} {n}"), "run", Vec::new());
                    reuse.keep(std::slice::from_ref(&entry)).unwrap();
                    assert_eq!(reuse.find(&entry.key.hash()).unwrap(), Some(entry));
                }
            });
        }
    });
    assert_eq!(Reuse::open(&folder, root.path()).unwrap().entries().unwrap().len(), 80);
}

#[test]
fn nothing_is_made_for_who_only_looks() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("reuse/v1");
    assert!(Reuse::open_existing(&folder, root.path()).unwrap().is_none());
    assert!(!root.path().join("reuse").exists());
    drop(Reuse::open(&folder, root.path()).unwrap());
    assert!(Reuse::open_existing(&folder, root.path()).unwrap().is_some());
}

#[test]
fn a_damaged_database_says_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let folder: PathBuf = root.path().join("reuse");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("reuse.db"), "no database at all, not by any stretch of it".repeat(200)).unwrap();
    let Err(error) = Reuse::open(&folder, root.path()) else { panic!("it was opened") };
    assert!(matches!(error, ReuseError::Damaged { .. }));
    let text = error.to_string();
    assert!(text.contains(&format!("Remove the folder {}", folder.display())), "{text}");
    fs::remove_dir_all(&folder).unwrap();
    Reuse::open(&folder, root.path()).unwrap();
}

#[test]
fn damage_that_shows_later_says_what_to_do_as_well() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("reuse");
    let many: Vec<Entry> = (0..500).map(|n| entry(&format!("command {n}"), "run", Vec::new())).collect();
    Reuse::open(&folder, root.path()).unwrap().keep(&many).unwrap();
    let file = folder.join("reuse.db");
    let mut bytes = fs::read(&file).unwrap();
    let whole = bytes.len();
    bytes[4096..].fill(0xAB);
    assert!(whole > 100_000, "the entries lie in the file itself once the last connection is closed");
    fs::write(&file, bytes).unwrap();
    let error = Reuse::open(&folder, root.path()).and_then(|reuse| reuse.entries().map(drop)).unwrap_err().to_string();
    assert!(error.contains("Remove the folder"), "{error}");
}
