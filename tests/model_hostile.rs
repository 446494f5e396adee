//! Hostile model files end in a clear verdict or error. Nothing runs, and 200 MB of address space are enough.

use serde_json::Value;

use crate::model_forge::{Member, Zip, legacy, legacy_right, long, safetensors, tensor, tensor_value, text};
use crate::support::{Project, Ran};

/// What must come of a file.
enum End {
    /// A description with that verdict, and a word in it.
    Verdict(&'static str, &'static str),
    /// An error with that text.
    Error(&'static str),
    /// A description, whatever it says.
    Described,
}

use End::{Described, Error, Verdict};

/// `amlrun model inspect`, with little memory and an end to its patience.
fn inspect(project: &Project, file: &str) -> Ran {
    let mut inner = project.command(&["model", "inspect", file, "-o", "json"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -v 200000; ulimit -t 60; exec \"$0\" \"$@\""]).arg(inner.get_program());
    command.args(inner.get_args()).current_dir(inner.get_current_dir().unwrap());
    inner.get_envs().for_each(|(name, value)| match value {
        Some(value) => drop(command.env(name, value)),
        None => drop(command.env_remove(name)),
    });
    inner.stdin(std::process::Stdio::null());
    command.env("RUST_BACKTRACE", "0");
    Ran::of(command)
}

#[track_caller]
fn check(corpus: Vec<(&str, Vec<u8>, End)>) {
    let project = Project::new();
    let mut wrong = Vec::new();
    for (name, bytes, end) in corpus {
        let file = name.replace(' ', "_");
        // The corpus is also where fuzzing begins: `AMLRUN_CORPUS=folder` keeps it.
        if let Some(folder) = std::env::var_os("AMLRUN_CORPUS") {
            std::fs::write(std::path::Path::new(&folder).join(&file), &bytes).unwrap();
        }
        std::fs::write(project.path(&file), bytes).unwrap();
        let ran = inspect(&project, &file);
        let told: Value = serde_json::from_str(&ran.out).unwrap_or_default();
        let right = match end {
            Verdict(verdict, word) => ran.code == 0 && told["safety"] == verdict && ran.out.contains(word),
            Error(text) => ran.code == 1 && ran.out.is_empty() && ran.err.contains(text) && ran.err.contains(&file),
            Described => ran.code == 0 && told["kind"].is_string(),
        };
        let quiet = !ran.err.contains("panicked") && ran.err.len() < 2000;
        if !right || !quiet {
            wrong.push(format!("{name}: code {}\n{:.600}\n{:.600}", ran.code, ran.out, ran.err));
        }
        assert!(!project.path("pwned").exists(), "{name} ran something");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// A pickle that calls something with one text.
fn calls(module: &str, name: &str) -> Vec<u8> {
    [b"\x80\x02c", module.as_bytes(), b"\n", name.as_bytes(), b"\n(", &text("touch pwned"), b"tR."].concat()
}

#[test]
fn what_a_pickle_would_run_is_named() {
    let evil = || calls("os", "system");
    let hooks = [b"cos\nsystem\n(".as_slice(), &text("touch pwned"), b"tR"].concat();
    let hooked = [b"\x80\x02}".as_slice(), &text("w"), &tensor_value("0", 2, 0, &[2], &[1], &hooks), b"s."].concat();
    let stacked = [b"\x80\x04".as_slice(), &text("os"), &text("system"), b"\x93\x8c\x0btouch pwned\x85R."].concat();
    let computed =
        [b"\x80\x04".as_slice(), b"c_codecs\nencode\n(", &text("os"), b"tR", &text("system"), b"\x93."].concat();
    let walked = b"\x80\x04\x8c\x17torch.nn.modules.linear\x8c\x0ftorch.os.system\x93)R.".to_vec();
    let twice = b"\x80\x02cfunctools\npartial\n(cos\nsystem\ntR(S'touch pwned'\ntR.".to_vec();
    let class =
        [b"\x80\x02ctorch.nn.modules.linear\nLinear\n}".as_slice(), &text("forward"), b"cos\nsystem\nsb."].concat();
    let keyword = b"\x80\x04csubprocess\nPopen\n)}\x8c\x05shell\x88s\x92.".to_vec();
    let state = b"\x80\x02c__main__\nNet\n)\x81}X\x01\x00\x00\x00fcos\nsystem\nsb.".to_vec();
    let nested = Zip::torch(&evil(), &[]).bytes();
    check(vec![
        ("os system protocol 0.pkl", b"cos\nsystem\n(S'touch pwned'\ntR.".to_vec(), Verdict("dangerous", "os.system")),
        ("os system.pt", Zip::torch(&evil(), &[]).bytes(), Verdict("dangerous", "can run any command")),
        ("posix.pt", Zip::torch(&calls("posix", "system"), &[]).bytes(), Verdict("dangerous", "posix.system")),
        ("subprocess.pt", Zip::torch(&keyword, &[]).bytes(), Verdict("dangerous", "subprocess.Popen")),
        ("eval.pt", Zip::torch(&calls("builtins", "eval"), &[]).bytes(), Verdict("dangerous", "builtins.eval")),
        ("exec by inst.pkl", b"(S'1'\ni__builtin__\nexec\n.".to_vec(), Verdict("dangerous", "__builtin__.exec")),
        ("import by obj.pkl", b"(cimportlib\nimport_module\nS'os'\no.".to_vec(), Verdict("dangerous", "importlib")),
        (
            "getattr.pt",
            Zip::torch(&calls("builtins", "getattr"), &[]).bytes(),
            Verdict("dangerous", "builtins.getattr"),
        ),
        ("stack global.pt", Zip::torch(&stacked, &[]).bytes(), Verdict("dangerous", "os.system")),
        ("computed name.pt", Zip::torch(&computed, &[]).bytes(), Verdict("dangerous", "computed during loading")),
        ("dotted walk.pt", Zip::torch(&walked, &[]).bytes(), Verdict("dangerous", "torch.os.system")),
        ("extension code.pkl", b"\x80\x02\x82\x05)R.".to_vec(), Verdict("dangerous", "extension registry")),
        ("result called.pkl", twice, Verdict("dangerous", "calls something that it has computed")),
        ("class changed.pt", Zip::torch(&class, &[]).bytes(), Verdict("dangerous", "sets attributes")),
        ("in a state.pt", Zip::torch(&state, &[]).bytes(), Verdict("dangerous", "os.system")),
        ("in the hooks.pt", Zip::torch(&hooked, &[&[0; 8]]).bytes(), Verdict("dangerous", "os.system")),
        ("torch load.pt", Zip::torch(&calls("torch", "load"), &[]).bytes(), Verdict("dangerous", "another pickle")),
        ("torch hub.pt", Zip::torch(&calls("torch.hub", "load"), &[]).bytes(), Verdict("dangerous", "torch.hub.load")),
        ("ctypes.pt", Zip::torch(&calls("ctypes", "CDLL"), &[]).bytes(), Verdict("dangerous", "native code")),
        ("broken off after the call.pkl", evil()[..evil().len() - 1].to_vec(), Verdict("dangerous", "cut off")),
        (
            "then nonsense.pkl",
            [&evil()[..evil().len() - 1], b"\xff"].concat(),
            Verdict("dangerous", "is not a valid instruction"),
        ),
        ("legacy system.pt", legacy(&evil(), b"\x80\x02}.", b"\x80\x02].", &[]), Verdict("dangerous", "os.system")),
        ("legacy keys.pt", legacy(b"\x80\x02}.", b"\x80\x02}.", &evil(), &[]), Verdict("dangerous", "os.system")),
        (
            "in constants.pt",
            Zip::torch(b"\x80\x02}.", &[]).with("m/constants.pkl", &evil()).bytes(),
            Verdict("dangerous", "os.system"),
        ),
        (
            "archive in an archive.pt",
            Zip::torch(b"\x80\x02}.", &[]).with("m/inner.pt", &nested).bytes(),
            Verdict("dangerous", "os.system"),
        ),
        ("no data.pt", Zip::default().with("m/other.pkl", &evil()).bytes(), Verdict("dangerous", "os.system")),
        (
            "and a tensor that cannot be.pt",
            Zip::torch(&[&evil()[..evil().len() - 1], b"0", &tensor(9, 0, &[9], &[1])[2..]].concat(), &[]).bytes(),
            Verdict("dangerous", "os.system"),
        ),
        (
            "own class.pt",
            Zip::torch(b"\x80\x02c__main__\nNet\n)\x81}b.", &[]).bytes(),
            Verdict("unknown", "__main__.Net"),
        ),
    ]);
}

#[test]
fn games_with_the_stack_are_refused() {
    let broken = |body: &[u8]| Zip::torch(&[b"\x80\x02", body].concat(), &[]).bytes();
    check(vec![
        ("pop nothing.pt", broken(b"0."), Error("the stack is empty")),
        ("nothing at all.pt", broken(b"."), Error("the stack is empty")),
        ("no mark.pt", broken(b"NNt."), Error("the mark is missing")),
        ("pop below the mark.pt", broken(b"N(a."), Error("the stack is empty")),
        ("memo of nobody.pt", broken(b"h\x07."), Error("nothing is stored under 7")),
        ("half a pair.pt", broken(b"}(Nu."), Error("a key has no value")),
        ("state for a number.pt", broken(b"K\x01}b."), Verdict("cannot_be_judged", "changes an immutable value")),
        ("arguments are a number.pt", broken(b"c__main__\nA\nK\x01R."), Error("not a tuple")),
        ("items for a dict.pt", broken(b"}Na."), Verdict("cannot_be_judged", "changes an immutable value")),
        ("no instruction.pt", broken(b"\xfe."), Error("not a valid instruction")),
        ("protocol 99.pkl", b"\x80\x63N.".to_vec(), Error("protocol 99")),
        ("text without quotes.pt", broken(b"Sx\n."), Error("no quotes")),
        ("key is no number.pt", broken(b"Npx\n."), Error("not a number")),
        ("obj of nothing.pt", broken(b"(o."), Error("the class is missing")),
        ("buffer elsewhere.pt", broken(b"\x97."), Error("in another file")),
    ]);
}

#[test]
fn bombs_do_not_go_off() {
    let pickle = |body: Vec<u8>| Zip::torch(&[b"\x80\x02".as_slice(), &body, b"."].concat(), &[]).bytes();
    // [[…], […]] of the same list, sixty levels: 2^60 leaves.
    let laughs = |leaf: &[u8]| {
        let mut body = leaf.to_vec();
        for _ in 0..60 {
            body.extend(b"q\x01]q\x02(h\x01h\x01e0h\x02");
        }
        body
    };
    let laughing_dicts = {
        let mut body = b"}".to_vec();
        for _ in 0..60 {
            body.extend(b"q\x010}q\x02(K\x01h\x01K\x02h\x01u0h\x02");
        }
        body
    };
    let with_tensor = laughs(&tensor_value("0", 2, 0, &[2], &[1], b"N"));
    let wide = {
        // A list of a thousand times the same list of a thousand times …
        let mut body = b"]".to_vec();
        for _ in 0..5 {
            body.extend(b"q\x010]q\x02(");
            body.extend(b"h\x01".repeat(1000));
            body.extend(b"e0h\x02");
        }
        body
    };
    let puts = (0..2_000_000u32).flat_map(|key| [[b'r'].as_slice(), &key.to_le_bytes()].concat()).collect::<Vec<u8>>();
    let strays =
        (0..2_000_000u32).rev().flat_map(|key| [[b'r'].as_slice(), &key.to_le_bytes()].concat()).collect::<Vec<u8>>();
    let names = (0..30_000u32).flat_map(|n| format!("cm{n}\nx\n0").into_bytes()).chain(*b"N").collect::<Vec<u8>>();
    let cycle = b"]q\x00h\x00a}q\x01(K\x01h\x01K\x02h\x00u\x86".to_vec();
    let module_cycle = {
        let mut body = b"c__main__\nNet\n)\x81q\x00}(".to_vec();
        body.extend(text("_parameters"));
        body.push(b'}');
        body.extend(text("_modules"));
        body.push(b'}');
        body.extend(text("self"));
        body.extend(b"h\x00sub");
        body
    };
    let long_key = {
        let mut body = b"}".to_vec();
        body.extend(text(&"k".repeat(2_000_000)));
        body.extend(b"}K\x01]sss".as_slice());
        body.truncate(body.len() - 1);
        body
    };
    check(vec![
        ("laughing lists.pt", pickle(laughs(b"N")), Error("too often")),
        ("laughing dicts.pt", pickle(laughing_dicts), Error("too often")),
        (
            "laughing tensors.pt",
            Zip::torch(&[b"\x80\x02".as_slice(), &with_tensor, b"."].concat(), &[&[0; 8]]).bytes(),
            Error("too many tensors"),
        ),
        ("wide lists.pt", pickle(wide), Error("too often")),
        ("deep lists.pt", pickle([b"]".repeat(300_000), b"a".repeat(299_999)].concat()), Error("nested")),
        ("deep tuples.pt", pickle([b"N".to_vec(), b"\x85".repeat(400_000)].concat()), Error("nested")),
        ("millions of none.pt", pickle(b"N".repeat(2_000_000)), Error("more memory")),
        ("millions of dicts.pt", pickle(b"}".repeat(2_000_000)), Error("more memory")),
        ("millions of copies.pt", pickle([b"N".to_vec(), b"2".repeat(13_000_000)].concat()), Error("more")),
        ("millions of marks.pt", pickle(b"(".repeat(8_000_000)), Error("more")),
        ("endless steps.pt", pickle([b"N".to_vec(), b"N0".repeat(6_500_000)].concat()), Error("more")),
        ("millions of memos.pt", pickle([b"N".to_vec(), puts].concat()), Described),
        ("memos everywhere.pt", pickle([b"N".to_vec(), strays].concat()), Error("more memory")),
        ("thousands of imports.pt", pickle(names), Error("more imports")),
        ("cycle.pt", pickle(cycle), Described),
        ("module in itself.pt", pickle(module_cycle), Described),
        ("endless key.pt", pickle(long_key), Error("key")),
        ("text of an exabyte.pt", pickle([b"\x8d".as_slice(), &(1u64 << 60).to_le_bytes()].concat()), Error("cut off")),
        ("text of 4 GB.pt", pickle(b"X\xff\xff\xff\xff".to_vec()), Error("cut off")),
        (
            "bytes of an exabyte.pt",
            pickle([b"\x8e".as_slice(), &(1u64 << 60).to_le_bytes()].concat()),
            Error("cut off"),
        ),
        ("negative long.pt", pickle(b"\x8b\xff\xff\xff\xff".to_vec()), Error("cut off")),
        ("frame of an exabyte.pt", pickle([b"\x95".as_slice(), &(1u64 << 60).to_le_bytes(), b"N"].concat()), Described),
        (
            "number of a million digits.pt",
            pickle([b"I".to_vec(), b"9".repeat(2_000_000), b"\n".to_vec()].concat()),
            Error("more bytes in one line"),
        ),
    ]);
}

#[test]
fn tensors_that_cannot_be_are_refused() {
    let file = |pickle: Vec<u8>| Zip::torch(&pickle, &[&[0; 8]]).bytes();
    let sides = vec![1; 65];
    check(vec![
        ("terabytes.pt", file(tensor(2, 0, &[1 << 40], &[1])), Error("is outside its storage")),
        ("terabytes claimed.pt", file(tensor(1 << 40, 0, &[1 << 40], &[1])), Error("has 1099511627776 elements")),
        ("exabytes by steps of zero.pt", file(tensor(2, 0, &[1 << 50], &[0])), Described),
        ("beyond all numbers.pt", file(tensor(2, 0, &[1 << 40, 1 << 40], &[0, 0])), Error("is outside its storage")),
        ("negative size.pt", file(tensor(2, 0, &[-1], &[1])), Error("an invalid size")),
        ("negative step.pt", file(tensor(2, 1, &[2], &[-1])), Error("an invalid size")),
        ("negative offset.pt", file(tensor(2, -1, &[1], &[1])), Error("invalid offset")),
        ("offset outside.pt", file(tensor(2, 2, &[1], &[1])), Error("is outside its storage")),
        ("step outside.pt", file(tensor(2, 0, &[2], &[i64::MAX])), Error("is outside its storage")),
        ("shape without steps.pt", file(tensor(2, 0, &[2], &[])), Error("is outside its storage")),
        ("65 dimensions.pt", file(tensor(2, 0, &sides, &sides)), Error("65 dimensions")),
        ("storage missing.pt", Zip::torch(&tensor(2, 0, &[2], &[1]), &[]).bytes(), Error("needs storage '0'")),
        (
            "storage escapes.pt",
            file([b"\x80\x02".as_slice(), &tensor_value("../../etc/passwd", 2, 0, &[2], &[1], b"N"), b"."].concat()),
            Error("needs storage '../../etc/passwd'"),
        ),
        (
            "legacy exabytes.pt",
            {
                let right = legacy_right();
                let cut = right.len() - 16;
                [&right[..cut], &i64::MAX.to_le_bytes(), &[0; 8]].concat()
            },
            Error("is larger than the file"),
        ),
        (
            "legacy protocol.pt",
            {
                let right = legacy_right();
                let at = right.windows(3).position(|w| w == b"M\xe9\x03").unwrap();
                [&right[..at], b"M\xea\x03", &right[at + 3..]].concat()
            },
            Error("protocol"),
        ),
        ("described by a long.pt", file([b"\x80\x02".as_slice(), &long(1), b"."].concat()), Described),
    ]);
}

#[test]
fn archives_that_lie_are_refused() {
    let right = || Zip::torch(&tensor(2, 0, &[2], &[1]), &[&[0; 8]]);
    let member = |change: fn(&mut Member)| {
        let mut member = Member::new("m/more", b"12345678");
        change(&mut member);
        right().and(member).bytes()
    };
    let end = |at: usize, bytes: &[u8]| Zip { end: vec![(at, bytes.to_vec())], ..right() }.bytes();
    check(vec![
        (
            "compressed pickle.pt",
            {
                let mut pickle = Member::new("m/data.pkl", b"\x4b\x03\x00");
                pickle.method = 8;
                Zip::default().and(pickle).bytes()
            },
            Error("does not have the size in its header"),
        ),
        (
            "member of 4 GB.pt",
            member(|m| m.claimed = Some(0xffff_fff0)),
            Error("has 4294967280 bytes that are not in the file"),
        ),
        ("members overlap.pt", member(|m| m.offset = Some(0)), Error("overlaps")),
        ("header elsewhere.pt", member(|m| m.offset = Some(5)), Error("")),
        ("header outside.pt", member(|m| m.offset = Some(0x7fff_ffff)), Error("no header")),
        ("leads out.pt", member(|m| m.name = "m/../../x".to_owned()), Error("points outside the archive")),
        ("absolute.pt", member(|m| m.name = "/etc/passwd".to_owned()), Error("points outside the archive")),
        ("backslashes.pt", member(|m| m.name = "m\\..\\x".to_owned()), Error("points outside the archive")),
        ("drive.pt", member(|m| m.name = "c:/x".to_owned()), Error("points outside the archive")),
        ("twice.pt", member(|m| m.name = "m/data.pkl".to_owned()), Error("a duplicate")),
        ("two names.pt", member(|m| m.local_name = Some("m/less".to_owned())), Error("a different name")),
        ("encrypted.pt", member(|m| m.flags = 1), Error("encrypted")),
        ("painted name.pt", member(|m| m.name = "m/\x1b[2J/../x".to_owned()), Error("points outside the archive")),
        ("many members.pt", end(8, &[0xff, 0xff, 0xff, 0xff]), Error("directory of the zip is cut off")),
        ("two numbers of members.pt", end(10, &[0xff, 0xff]), Error("two different member counts")),
        ("directory outside.pt", end(16, &[0xff, 0xff, 0xff, 0x7f]), Error("directory of the zip is not at")),
        ("directory of 4 GB.pt", end(12, &[0xff, 0xff, 0xff, 0xff]), Error("directory of the zip is not at")),
        ("one of several.pt", end(4, &[3, 0]), Error("one part of a multi-part archive")),
        (
            "wide and wrong.pt",
            {
                let bytes = right().bytes();
                let cut = bytes.len() - 22;
                let locator = [b"PK\x06\x07\0\0\0\0".as_slice(), &u64::MAX.to_le_bytes(), &1u32.to_le_bytes()].concat();
                [&bytes[..cut], &locator, &bytes[cut..]].concat()
            },
            Error(""),
        ),
        (
            "wide and huge.pt",
            {
                let bytes = right().bytes();
                let cut = bytes.len() - 22;
                let mut wide = b"PK\x06\x06".to_vec();
                wide.resize(32, 0);
                wide.extend([u64::MAX, u64::MAX, 0].iter().flat_map(|number| number.to_le_bytes()));
                let locator =
                    [b"PK\x06\x07\0\0\0\0".as_slice(), &(cut as u64).to_le_bytes(), &1u32.to_le_bytes()].concat();
                [&bytes[..cut], &wide, &locator, &bytes[cut..]].concat()
            },
            Error(""),
        ),
        ("empty.pt", vec![], Error("is empty")),
        ("text.pt", b"hello, this is no model".to_vec(), Error("not a model file")),
        ("gzip.pt", b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), Error("gzip")),
    ]);
}

#[test]
fn safetensors_that_lie_are_refused() {
    let one = |dtype: &str, shape: &str, offsets: &str| {
        safetensors(&format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#), &[0; 8])
    };
    let two =
        r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}"#;
    check(vec![
        ("header of exabytes.safetensors", [u64::MAX.to_le_bytes().as_slice(), b"{}"].concat(), Error("safetensors")),
        ("header cut off.safetensors", [100u64.to_le_bytes().as_slice(), b"{}"].concat(), Error("safetensors")),
        ("shape beyond numbers.safetensors", one("F32", "[18446744073709551615,2]", "[0,8]"), Error("safetensors")),
        ("shape too small.safetensors", one("F32", "[1]", "[0,8]"), Error("safetensors")),
        ("offsets outside.safetensors", one("F32", "[2000]", "[0,8000]"), Error("safetensors")),
        ("offsets backwards.safetensors", one("F32", "[0]", "[8,0]"), Error("safetensors")),
        ("type of nobody.safetensors", one("F77", "[2]", "[0,8]"), Error("safetensors")),
        ("tensors overlap.safetensors", safetensors(two, &[0; 8]), Error("safetensors")),
        (
            "nested header.safetensors",
            safetensors(&format!("{{\"a\":{}", "[".repeat(100_000)), &[]),
            Error("safetensors"),
        ),
        (
            "shard elsewhere.index.json",
            br#"{"weight_map":{"w":"../secret.safetensors"}}"#.to_vec(),
            Error("not in the same folder"),
        ),
        (
            "shard at the root.index.json",
            br#"{"weight_map":{"w":"/etc/passwd"}}"#.to_vec(),
            Error("not in the same folder"),
        ),
    ]);
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let project = Project::new();
    let zip = Zip::torch(&tensor(2, 0, &[2], &[1]), &[&[0; 8]]).bytes();
    let safe = safetensors(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, &[0; 8]);
    for (name, bytes, step) in [("m.pt", zip, 9), ("l.pt", legacy_right(), 5), ("m.safetensors", safe, 3)] {
        std::fs::write(project.path(name), &bytes).unwrap();
        assert!(inspect(&project, name).ended(0).out.contains("\"w\""), "{name} is whole");
        for cut in (0..bytes.len()).step_by(step) {
            std::fs::write(project.path(name), &bytes[..cut]).unwrap();
            let ran = inspect(&project, name).ended(1);
            assert!(ran.err.starts_with(&format!("error: {name}: ")), "{name} cut at {cut}: {}", ran.err);
        }
    }
}

#[test]
fn a_folder_is_as_dangerous_as_its_worst_file() {
    let project = Project::new();
    std::fs::create_dir(project.path("model")).unwrap();
    let safe = safetensors(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, &[0; 8]);
    std::fs::write(project.path("model/a.safetensors"), safe).unwrap();
    std::fs::write(project.path("model/b.pt"), Zip::torch(&calls("os", "system"), &[]).bytes()).unwrap();
    let told: Value = serde_json::from_str(&inspect(&project, "model").ended(0).out).unwrap();
    assert_eq!((&told["kind"], &told["safety"]), (&"safetensors".into(), &"dangerous".into()));
    assert!(told["notes"].to_string().contains("a.safetensors was chosen"), "{told}");
}

#[test]
fn an_mlmodel_with_an_alias_bomb_is_refused() {
    let project = Project::new();
    let mut text = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (one, next) in "abcdefgh".chars().zip("bcdefghi".chars()) {
        text.push_str(&format!("{next}: &{next} [{}]\n", [format!("*{one}").as_str(); 9].join(",")));
    }
    project.write("model/MLmodel", &text);
    assert!(inspect(&project, "model").ended(1).err.contains("aliases"));
    project.write("model/MLmodel", &format!("flavors: {}", "[".repeat(50_000)));
    assert!(inspect(&project, "model").ended(1).err.contains("nested too deeply"));
}
