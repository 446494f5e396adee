//! Keys and the difference of two keys.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::digest::{Digest, HashedFile};
use crate::reason::Reason;
use crate::reuse::{Given, Key, Known, Machine, Manifest, Python, differences};

fn given() -> impl Strategy<Value = Given> {
    let leaf = prop_oneof![
        "[ab]{0,2}".prop_map(Given::Text),
        "[ab]".prop_map(|text| Given::Secret(Digest::of(text.as_bytes()))),
        "[ab]".prop_map(|text| Given::Data(Digest::of(text.as_bytes()))),
        Just(Given::Absent),
    ];
    leaf.prop_recursive(1, 4, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Given::Mixed))
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[ab]", "[ab]{0,1}", 0..2)
}

prop_compose! {
    fn key()(
        command in "[ab\n]{0,3}",
        code in prop::option::of("[ab]"),
        inputs in prop::collection::btree_map("[ab]", given(), 0..3),
        environment in prop::option::of("[ab]"),
        variables in prop::collection::btree_map("[ab]", given(), 0..3),
        outputs in texts(),
        distribution in prop::option::of("[ab]"),
        settings in texts(),
    ) -> Key {
        let code = code.map(|text| Digest::of(text.as_bytes()));
        Key { command, code, inputs, environment, variables, outputs, distribution, settings, ..Key::default() }
    }
}

/// Two keys that are often almost the same.
fn two() -> impl Strategy<Value = (Key, Key)> {
    (key(), key(), any::<[bool; 8]>()).prop_map(|(one, other, from)| {
        let mut mixed = one.clone();
        let [a, b, c, d, e, f, g, h] = from.map(|other| !other);
        if a {
            mixed.command.clone_from(&other.command);
        }
        if b {
            mixed.code = other.code;
        }
        if c {
            mixed.inputs = other.inputs;
        }
        if d {
            mixed.environment = other.environment;
        }
        if e {
            mixed.variables = other.variables;
        }
        if f {
            mixed.outputs = other.outputs;
        }
        if g {
            mixed.distribution = other.distribution;
        }
        if h {
            mixed.settings = other.settings;
        }
        (one, mixed)
    })
}

/// The manifests that are known.
struct Trees<'a>(&'a [Manifest]);

impl Known for Trees<'_> {
    fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        self.0.iter().find(|manifest| manifest.digest() == *digest).cloned()
    }

    fn machine(&self, _: &Digest) -> Option<Machine> {
        None
    }

    fn python(&self, _: &Digest) -> Option<Python> {
        None
    }
}

fn count<T: PartialEq>(before: &BTreeMap<String, T>, after: &BTreeMap<String, T>) -> usize {
    let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).count()
}

proptest! {
    #[test]
    fn hashes_differ_exactly_when_keys_do((one, other) in two()) {
        prop_assert_eq!(one == other, one.hash() == other.hash());
        let json = serde_json::to_string(&one).unwrap();
        prop_assert_eq!(serde_json::from_str::<Key>(&json).unwrap(), one);
    }

    #[test]
    fn the_difference_names_what_changed_and_nothing_else((one, other) in two()) {
        let found = differences(&one, &other, &Trees(&[]));
        let of = |whats: &[&str]| found.iter().filter(|because| whats.contains(&because.what.as_str())).count();
        prop_assert_eq!(of(&["command"]), usize::from(one.command != other.command));
        prop_assert_eq!(of(&["code"]), usize::from(one.code != other.code));
        prop_assert_eq!(of(&["environment"]), usize::from(one.environment != other.environment));
        prop_assert_eq!(of(&["distribution"]), usize::from(one.distribution != other.distribution));
        prop_assert_eq!(of(&["output"]), count(&one.outputs, &other.outputs));
        prop_assert_eq!(of(&["setting"]), count(&one.settings, &other.settings));
        // Several data in one value are several differences.
        let names = |whats: &[&str]| {
            let found = found.iter().filter(|because| whats.contains(&because.what.as_str()));
            found.map(|because| &because.name).collect::<std::collections::BTreeSet<_>>().len()
        };
        prop_assert_eq!(names(&["input", "parameter"]), count(&one.inputs, &other.inputs));
        prop_assert_eq!(names(&["variable"]), count(&one.variables, &other.variables));
        prop_assert!(found.iter().all(|because| !because.to_string().is_empty()));
    }

    #[test]
    fn a_shape_overlooks_data_and_nothing_else((one, other) in two()) {
        let blank = |key: &Key| {
            let text = serde_json::to_string(key).unwrap();
            let data = |text: &str| format!("{{\"data\":\"{}\"}}", Digest::of(text.as_bytes()));
            text.replace(&data("a"), "DATA").replace(&data("b"), "DATA")
        };
        prop_assert_eq!(blank(&one) == blank(&other), one.shape() == other.shape());
    }
}

#[test]
fn a_hash_is_the_same_tomorrow() {
    // A change here makes every stored result unknown. If that is intended, change FORMAT.
    let key = Key { command: "python train.py".to_owned(), ..Key::default() };
    assert_eq!(key.hash().short(), "ff5b892c55f9");
}

fn manifest(is_file: bool, files: &[(&str, &str)]) -> Manifest {
    let file = |(path, text): &(&str, &str)| HashedFile {
        path: (*path).to_owned(),
        size: text.len() as u64,
        hash: *blake3::hash(text.as_bytes()).as_bytes(),
        execute: 0,
    };
    Manifest { is_file, files: files.iter().map(file).collect(), specials: Vec::new() }
}

fn sentences(before: &Key, after: &Key, known: &[Manifest]) -> Vec<String> {
    differences(before, after, &Trees(known)).iter().map(ToString::to_string).collect()
}

#[test]
fn differences_read_as_sentences() {
    let text = |text: &str| Given::Text(text.to_owned());
    let inputs = |all: &[(&str, Given)]| all.iter().map(|(n, g)| ((*n).to_owned(), g.clone())).collect();
    let secret = |text: &str| Given::Secret(Digest::of(text.as_bytes()));
    let before = Key {
        command: "set -e\npython train.py --lr 1".to_owned(),
        inputs: inputs(&[("epochs", text("5")), ("note", Given::Absent), ("old", text("x")), ("same", text("1"))]),
        variables: inputs(&[("TOKEN", secret("a")), ("GONE", text("1"))]),
        environment: Some("host".to_owned()),
        ..Key::default()
    };
    let after = Key {
        command: "set -e\npython train.py --lr 2".to_owned(),
        inputs: inputs(&[("epochs", text("6")), ("note", text("hi")), ("same", text("1"))]),
        variables: inputs(&[("TOKEN", secret("b")), ("MODE", text("fast"))]),
        environment: None,
        outputs: [("model".to_owned(), "uri_folder".to_owned())].into(),
        settings: [("mode of data".to_owned(), "download".to_owned())].into(),
        ..Key::default()
    };
    assert_eq!(
        sentences(&before, &after, &[]),
        [
            "the command changed: python train.py --lr 1 → python train.py --lr 2",
            "the parameter epochs changed from 5 to 6",
            "the parameter note was added (hi)",
            "the parameter old was removed (x)",
            "the variable GONE was removed (1)",
            "the variable MODE was added (fast)",
            "the variable TOKEN changed",
            "the environment was removed (host)",
            "the type of the output model was added (uri_folder)",
            "the setting mode of data was added (download)",
        ]
    );
    let shown = serde_json::to_string(&differences(&before, &after, &Trees(&[]))).unwrap();
    assert!(shown.contains(r#"{"what":"variable","name":"TOKEN","before":"(not shown)","after":"(not shown)"}"#));
    assert!(shown.contains(r#"{"what":"parameter","name":"note","before":null,"after":"hi"}"#));
}

#[test]
fn files_are_named_where_they_are_known() {
    let known = [
        manifest(false, &[("a.py", "1"), ("lib/b.py", "2"), ("same.py", "3")]),
        manifest(false, &[("a.py", "changed"), ("lib/c.py", "2"), ("same.py", "3")]),
        manifest(true, &[("train.csv", "1")]),
        manifest(true, &[("train.csv", "2")]),
    ];
    let digests: Vec<Digest> = known.iter().map(Manifest::digest).collect();
    let data = |at: usize| Given::Data(digests[at].clone());
    let joined = |at: usize| Given::Mixed(vec![Given::Text("--in=".to_owned()), data(at)]);
    let key = |code: usize, file: usize| Key {
        code: Some(digests[code].clone()),
        inputs: [("data".to_owned(), data(file)), ("unknown".to_owned(), Given::Data(Digest::of(&[file as u8])))]
            .into(),
        variables: [("ARGS".to_owned(), joined(file))].into(),
        ..Key::default()
    };
    assert_eq!(
        sentences(&key(0, 2), &key(1, 3), &known),
        [
            "the file a.py of its code changed",
            "the file lib/b.py of its code was removed",
            "the file lib/c.py of its code was added",
            "the file train.csv of the input data changed",
            "the input unknown changed",
            "the file train.csv of the variable ARGS changed",
        ]
    );
    let found: Vec<Reason> = differences(&key(0, 2), &key(1, 3), &Trees(&known));
    assert_eq!((found[0].what.as_str(), found[0].name.as_str()), ("file", "code/a.py"));
    assert_eq!(found[0].before.as_deref(), Some(Digest::of(b"1").short()));
    assert_eq!((found[1].name.as_str(), &found[1].after), ("code/lib/b.py", &None));
    assert_eq!(found[3].name, "data/train.csv");
    assert_eq!(found[5].name, "$ARGS/train.csv");
}

#[test]
fn many_files_are_counted() {
    let files = |text: &'static str, many: usize| {
        let names: Vec<String> = (0..many).map(|n| format!("{n:02}")).collect();
        manifest(false, &names.iter().map(|name| (name.as_str(), text)).collect::<Vec<_>>())
    };
    for (many, last) in [
        (21, "the file 20 of its code changed"),
        (22, "2 more files of its code changed"),
        (50, "30 more files of its code changed"),
    ] {
        let known = [files("1", many), files("2", many)];
        let key = |at: usize| Key { code: Some(known[at].digest()), ..Key::default() };
        let found = sentences(&key(0), &key(1), &known);
        assert_eq!(found.len(), 21);
        assert_eq!(found.last().map(String::as_str), Some(last));
    }
}
