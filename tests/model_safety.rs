//! What "safe" means: the verdicts of `model inspect`, on files that fool others and on files as people have them.
//!
//! `tests/interop/hostile_models.py` has hundreds more, and the real Python as judge.

use std::io::Write as _;

use serde_json::Value;

use crate::model_forge::{Member, Zip, calls, legacy, legacy_right, safetensors, tar, tensor, tensor_value, text};
use crate::support::Project;

/// The verdict on a file or folder, and all that is said of it; an error is a verdict as well.
pub fn verdict(project: &Project, path: &str) -> (String, String) {
    let ran = project.amlrun(&["model", "inspect", path, "-o", "json"]);
    assert!(!ran.err.contains("panicked"), "{path}: {}", ran.err);
    match serde_json::from_str::<Value>(&ran.out) {
        Ok(told) => (told["safety"].as_str().unwrap().to_owned(), ran.out),
        Err(_) => ("error".to_owned(), ran.err),
    }
}

#[track_caller]
fn check(wanted: &[&str], files: Vec<(&str, Vec<u8>)>) {
    let project = Project::new();
    let mut wrong = Vec::new();
    for (name, bytes) in files {
        std::fs::write(project.path(name), bytes).unwrap();
        let (found, told) = verdict(&project, name);
        if !wanted.contains(&found.as_str()) {
            wrong.push(format!("{name} is {found}: {told:.500}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn right() -> Vec<u8> {
    Zip::torch(&tensor(2, 0, &[2], &[1]), &[&[0; 8]]).bytes()
}

fn weights() -> Vec<u8> {
    safetensors(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, &[0; 8])
}

/// A pickle that would run a command.
pub fn evil() -> Vec<u8> {
    calls("os", "system", &[&text("touch pwned")])
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn safe_is_what_was_understood_to_the_last_byte() {
    check(&["safe"], vec![("state.pth", right()), ("old.pth", legacy_right()), ("w.safetensors", weights())]);
    let script = |code: &str| {
        let object = b"\x80\x02c__torch__\nM\n)\x81}X\x08\x00\x00\x00training\x89sb.";
        let zip = Zip::torch(object, &[]).with("m/constants.pkl", b"\x80\x02).");
        zip.and(Member::deflated("m/code/__torch__.py", code.as_bytes())).bytes()
    };
    let export = |graph: &str| {
        let zip = Zip::default().with("m/archive_format", b"pt2").with("m/archive_version", b"0");
        zip.with("m/models/model.json", graph.as_bytes()).bytes()
    };
    check(
        &["unknown"],
        vec![
            ("script.pt", script("class M(Module):\n  training : bool\n")),
            ("program.pt2", export(r#"{"expr_str": "Mul(Integer(2), Symbol('s77', integer=True))"}"#)),
            ("plain.pkl", b"\x80\x02}.".to_vec()),
        ],
    );
    check(
        &["dangerous"],
        vec![
            (
                "writes.pt",
                script("class M(Module):\n  def __setstate__(self, s):\n    torch.from_file(\"f\", True, 4)\n"),
            ),
            ("saves.pt", script("ops . aten.\\\n save(x, \"f\")")),
            ("expression.pt2", export(r#"{"a": [{"expr_str": "__import__('os').system('touch pwned')"}]}"#)),
        ],
    );
    check(&["cannot_be_judged"], vec![("library.pt", script("ops.mylib.run(x)"))]);
}

#[test]
fn a_folder_is_never_safer_than_what_was_not_understood() {
    let project = Project::new();
    let folder = |name: &str, files: &[(&str, &[u8])]| {
        for (file, bytes) in files {
            let path = project.path(&format!("{name}/{file}"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        verdict(&project, name).0
    };
    let weights = weights();
    let card: &[u8] = b"N.B.: contents\nof this model\n";
    let words: &[u8] = b"channels:\n- conda-forge\n";
    let kept = ("w.safetensors", weights.as_slice());
    assert_eq!(folder("plain", &[kept, ("README.md", card), ("conda.yaml", words), ("config.json", b"{}")]), "safe");
    assert_eq!(folder("odd ending", &[kept, ("w.onnx", b"\x08\x07")]), "unknown");
    assert_eq!(folder("code", &[kept, ("net.py", b"import torch")]), "unknown");
    assert_eq!(folder("cut off", &[kept, ("b.pth", &right()[..200])]), "cannot_be_judged");
    assert_eq!(folder("deep", &[kept, ("a/b/c/d/e/f/g.weird", &evil())]), "dangerous");
    assert_eq!(folder("as text", &[kept, ("notes.txt", &evil())]), "dangerous");
    let mlflow = |flavor: &str| format!("flavors:\n  python_function:\n{flavor}");
    let of_mlflow = mlflow("    loader_module: mlflow.sklearn\n");
    assert_eq!(folder("mlflow", &[kept, ("MLmodel", of_mlflow.as_bytes())]), "unknown");
    let loader = mlflow("    loader_module: mine\n    code: code\n");
    let files: [(&str, &[u8]); 3] = [kept, ("MLmodel", loader.as_bytes()), ("code/mine.py", b"import os")];
    assert_eq!(folder("loader", &files), "cannot_be_judged");
    std::os::unix::fs::symlink(project.path("deep"), project.path("plain/more")).unwrap();
    assert_eq!(verdict(&project, "plain").0, "cannot_be_judged", "a link to a folder is not followed");
}

#[test]
fn a_zip_is_read_as_torch_reads_it_or_not_at_all() {
    let zip = |pickle: &[u8]| Zip::torch(pickle, &[]);
    let renamed = |name: &str| {
        let mut zip = zip(&evil());
        zip.members[0].name = name.to_owned();
        zip
    };
    let empty = b"\x80\x02}.";
    let joined = [zip(&evil()).bytes(), zip(empty).bytes()].concat();
    let end = |zip: &[u8]| zip[zip.len() - 22..].to_vec();
    let mut in_comment = zip(empty).bytes();
    let length = in_comment.len();
    in_comment[length - 2] = 22;
    in_comment.extend(end(&zip(&evil()).bytes()));
    let flags = |flags: u16| {
        let mut zip = zip(&evil());
        zip.members[0].flags = flags;
        zip.bytes()
    };
    check(
        &["error"],
        vec![
            ("upper.pt", renamed("m/DATA.PKL").bytes()),
            ("upper_first.pt", renamed("m/Data.pkl").with("m/data.pkl", empty).bytes()),
            ("upper_last.pt", zip(empty).with("m/DATA.pkl", &evil()).bytes()),
            ("folder.pt", renamed("M/data.pkl").with("m/data.pkl", empty).bytes()),
            ("two_folders.pt", zip(&evil()).with("x/readme", b"hi").bytes()),
            ("trailing.pt", [zip(&evil()).bytes(), b"more".to_vec()].concat()),
            ("before.pt", [b"#!/bin/sh\n".to_vec(), zip(&evil()).bytes()].concat()),
            ("joined.pt", joined),
            ("in_comment.pt", in_comment),
            ("patched.pt", flags(0x20)),
            ("bombs.pt", {
                let bomb = |n: u8| Member { unpacked: Some(1 << 30), ..Member::deflated(&format!("m/{n}.pkl"), b"x") };
                (0..5).fold(zip(empty), |zip, n| zip.and(bomb(n))).bytes()
            }),
            ("strong.pt", flags(0x40)),
            ("tar.pt", tar(&[("storages", &evil()), ("tensors", b"I0\n."), ("pickle", empty)])),
            ("tar_as_pickle.pt", tar(&[("}.", b""), ("storages", &evil())])),
            ("tar_as_pointer.pt", tar(&[("version https://git-lfs.github.com/spec/v1", b""), ("storages", &evil())])),
        ],
    );
    check(
        &["dangerous"],
        vec![
            ("deflated.pt", {
                let zip = Zip::default().and(Member::deflated("m/data.pkl", &evil()));
                zip.with("m/version", b"3").bytes()
            }),
            ("pre16_beside.pt", zip(empty).with("m/x.pt", &legacy(empty, &evil(), empty, b"")).bytes()),
            ("deep.pt", zip(empty).with("m/a.zip", &zip(empty).with("m/b.zip", &zip(&evil()).bytes()).bytes()).bytes()),
        ],
    );
    let gap = |bytes: Vec<u8>| bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let mut hidden = right();
    let at = gap(hidden.clone());
    hidden.splice(at..at, *b"gap!");
    let places = hidden.len() - 6;
    hidden[places..places + 4].copy_from_slice(&((at + 4) as u32).to_le_bytes());
    check(&["error"], vec![("hidden.pt", hidden)]);
    check(
        &["cannot_be_judged"],
        vec![
            ("pre16_inside.pt", zip(&legacy(&evil(), empty, empty, b"")).bytes()),
            ("trailing_in_pickle.pt", zip(&[empty.as_slice(), b"more"].concat()).bytes()),
            ("trailing_in_pre16.pt", [legacy_right(), b"more".to_vec()].concat()),
        ],
    );
}

#[test]
fn bytes_that_are_two_things_are_not_called_safe() {
    // A safetensors file whose length is a text for pickle, and whose tensor is the rest of the pickle.
    let body = [b"0".as_slice(), &evil()[2..]].concat();
    let mut header = format!(r#"{{"w":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}"#, body.len());
    header.push_str(&" ".repeat(usize::from(b'V') - 2 - header.len()));
    let both = safetensors(&format!("{header}\n}}"), &body);
    // Behind a whole safetensors file, the end of a zip that torch.jit.load would find.
    let mut ends = weights();
    let mut behind = Zip::torch(&evil(), &[]).bytes();
    let place = behind.len() - 6;
    let start = u32::from_le_bytes(behind[place..place + 4].try_into().unwrap()) + ends.len() as u32;
    behind[place..place + 4].copy_from_slice(&start.to_le_bytes());
    let header = format!(r#"{{"w":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}}"#, behind.len());
    ends = safetensors(&header, &behind);
    let shift = (ends.len() - behind.len()) as u32;
    let at = ends.len() - 6;
    let inner = start - weights().len() as u32 + shift;
    ends[at..at + 4].copy_from_slice(&inner.to_le_bytes());
    check(&["dangerous", "cannot_be_judged"], vec![("both.pt", both), ("ends.pt", ends)]);
    let object =
        [b"\x93NUMPY\x01\x00\x37\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n".as_slice(), &evil()]
            .concat();
    let mut streams = zlib(&evil()[..9]);
    streams.extend(zlib(&evil()[9..]));
    check(
        &["dangerous", "error"],
        vec![
            ("objects.npy", object.clone()),
            ("objects.npz", Zip::default().with("a.npy", &object).bytes()),
            ("packed.joblib", zlib(&evil())),
            ("two_streams.joblib", streams),
            ("several.pkl", [b"\x80\x02}.".as_slice(), b"\x80\x02].", &evil()].concat()),
        ],
    );
}

#[test]
fn names_in_disguise_are_seen_through() {
    let named = |names: &[u8]| [b"\x80\x02".as_slice(), names, b"\x93(", &text("touch pwned"), b"tR."].concat();
    let odd = |prefix: &[u8]| [b"\x80\x05".as_slice(), prefix, &evil()[2..]].concat();
    let build = |identity: &[u8]| {
        // An identity function gives a class back, and a state laid into it changes the class.
        [b"\x80\x02".as_slice(), identity, b"}", &text("__setstate__"), b"cposix\nsystem\nsb."].concat()
    };
    let main = [&text("__main__")[..], &text("os.system")].concat();
    check(
        &["dangerous"],
        vec![
            ("escaped.pkl", named(b"V\\u006fs\nV\\u0073ystem\n")),
            ("escaped_wide.pkl", named(b"V\\U0000006fs\nVsystem\n")),
            ("escaped_bytes.pkl", named(b"S'\\x6fs'\nS'\\163ystem'\n")),
            ("main.pkl", named(&main)),
            ("through_random.pkl", named(&[text("random"), text("_os.system")].concat())),
            ("python2.pkl", b"ccommands\ngetoutput\n(S'touch pwned'\ntR.".to_vec()),
            ("hex.pkl", odd(b"I0x10\n0")),
            ("state_of_a_list.pkl", odd(b"]Nb0")),
            ("item_of_a_list.pkl", odd(b"]K\x01aK\x00K\x02s0")),
            ("underscore.pkl", odd(b"K\x01p1_0\n0")),
            ("computed.pkl", odd(b"cbuiltins\nset\ncbuiltins\ntuple\n)RR0")),
            ("identity.pkl", build(b"cbuiltins\nmax\n((cargparse\nNamespace\nltR")),
            ("type_tag.pkl", build(b"ctorch.jit._pickle\nrestore_type_tag\n(cargparse\nNamespace\nNtR")),
            ("save.pkl", calls("torch", "save", &[b"}", &text("pwned")])),
            ("from_file.pkl", calls("torch", "from_file", &[&text("pwned"), b"\x88", b"K\x04"])),
            ("collect_env.pkl", calls("torch.utils.collect_env", "run", &[&text("touch pwned")])),
            ("wrapper.pkl", calls("torch.jit.unsupported_tensor_ops", "execWrapper", &[&text("1"), b"}", b"}"])),
            ("elastic.pkl", calls("torch.distributed.run", "main", &[b"]"])),
            ("uuid.pkl", calls("uuid", "_get_command_stdout", &[&text("touch"), &text("pwned")])),
            ("f2py.pkl", calls("numpy.f2py.crackfortran", "getlincoef", &[&text("1"), b"}"])),
        ],
    );
    let scalar = b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8\x89\x88tR".as_slice();
    check(
        &["cannot_be_judged"],
        vec![
            ("unknown_function.pkl", calls("mypackage", "rebuild", &[])),
            ("class_with_a_path.pkl", calls("mypackage", "Store", &[&text("/tmp/x")])),
            ("cloudpickle.pkl", calls("cloudpickle.cloudpickle", "_make_function", &[])),
            ("object_scalar.pkl", calls("numpy._core.multiarray", "scalar", &[scalar, b"cargparse\nNamespace\n"])),
            ("encoding.pkl", calls("_codecs", "encode", &[&text("x"), &text("my_module")])),
        ],
    );
}

/// A fitted scikit-learn model as pickles have it: classes by name, Cython's own constructors, arrays of numpy.
pub fn scikit() -> Vec<u8> {
    let mut out = b"\x80\x04".to_vec();
    let global = |module: &str, name: &str| [text(module), text(name), b"\x93".to_vec()].concat();
    out.extend(global("sklearn.ensemble._gb", "GradientBoostingClassifier"));
    out.extend(b")\x81}(");
    out.extend(text("_loss"));
    out.extend(global("sklearn._loss._loss", "__pyx_unpickle_CyHalfBinomialLoss"));
    out.extend(b"(");
    out.extend(global("sklearn._loss._loss", "CyHalfBinomialLoss"));
    out.extend(b"J\x01\x00\x00\x00NtR");
    out.extend(text("rng"));
    out.extend(global("numpy.random._pickle", "__randomstate_ctor"));
    out.extend(text("MT19937"));
    out.extend(b"\x85R");
    out.extend(text("init"));
    out.extend(global("numpy._core.multiarray", "scalar"));
    out.extend(global("numpy", "dtype"));
    out.extend(text("f8"));
    out.extend(b"\x89\x88\x87R(K\x03");
    out.extend(text("<"));
    out.extend(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbC\x08\0\0\0\0\0\0\0\0\x86R");
    out.extend(b"ub.");
    out
}

/// The same kind of model by joblib: an array's bytes stand in the middle of the pickle.
fn joblib() -> Vec<u8> {
    let mut out = b"\x80\x04".to_vec();
    out.extend(text("sklearn.linear_model._base"));
    out.extend(text("LinearRegression"));
    out.extend(b"\x93)\x81}(");
    out.extend(text("coef_"));
    out.extend(text("joblib.numpy_pickle"));
    out.extend(text("NumpyArrayWrapper"));
    out.extend(b"\x93)\x81}(");
    out.extend(text("shape"));
    out.extend(b"K\x02\x85");
    out.extend(text("dtype"));
    out.extend(b"cnumpy\ndtype\n(");
    out.extend(text("f8"));
    out.extend(b"\x89\x88tR");
    out.extend(text("numpy_array_alignment_bytes"));
    out.extend(b"K\x10ub\x03\xff\xff\xff");
    out.extend([0xff; 16]);
    out.extend(b"ub.");
    out
}

#[test]
fn ordinary_models_are_unknown_and_never_dangerous() {
    let frame = [
        b"\x80\x04".as_slice(),
        b"cpandas.core.frame\nDataFrame\n)\x81}",
        &text("_mgr"),
        b"cpandas._libs.internals\n_unpickle_block\n(NNK\x02tRsb.",
    ]
    .concat();
    let booster = b"\x80\x04cxgboost.core\nBooster\n)\x81}X\x06\x00\x00\x00handle\x96\x02\0\0\0\0\0\0\0abb.".to_vec();
    let booster = booster.iter().copied().take(booster.len() - 2).chain(*b"sb.").collect::<Vec<u8>>();
    check(
        &["unknown"],
        vec![
            ("boosting.pkl", scikit()),
            ("linear.joblib", joblib()),
            ("packed.joblib", zlib(&joblib())),
            ("frame.pkl", frame),
            ("booster.pkl", booster),
            ("own.pt", Zip::torch(b"\x80\x02c__main__\nNet\n)\x81}b.", &[]).bytes()),
            ("agent.pt", Zip::torch(b"\x80\x02cagent\nMemory\n)\x81}b.", &[]).bytes()),
            ("parser.pt", Zip::torch(b"\x80\x02cparser\nTree\n)\x81}b.", &[]).bytes()),
            ("test.pt", Zip::torch(b"\x80\x02ctest\nNet\n)\x81}b.", &[]).bytes()),
        ],
    );
    let project = Project::new();
    // Names that only numpy tells apart, and text that only looks like YAML's aliases.
    let array = b"\x93NUMPY\x01\x00\x44\x00{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }          \n";
    std::fs::write(project.path("w.npz"), Zip::default().with("W.npy", array).with("w.npy", array).bytes()).unwrap();
    project.write("net/MLmodel", "flavors: {}\nmetadata:\n  owner: R&D & Ops *\n");
    for path in ["w.npz", "net"] {
        let told = project.amlrun(&["model", "create", "-n", "m", "-p", path]);
        assert_eq!(told.code, 0, "{path}: {}", told.err);
    }
    std::fs::write(project.path("m.pkl"), scikit()).unwrap();
    let told = project.amlrun(&["model", "inspect", "m.pkl"]).ended(0).out;
    assert!(told.contains("unknown: runs the code of scikit-learn"), "{told}");
}

#[test]
fn inspect_promises_only_what_torch_does() {
    let project = Project::new();
    let checkpoint = |body: &[u8]| {
        let hooks = b"ccollections\nOrderedDict\n)R";
        let weights = tensor_value("0", 2, 0, &[2], &[1], hooks);
        let dictionary = [b"\x80\x02}".as_slice(), &text("w"), &weights, b"s", &text("x"), body, b"s."].concat();
        Zip::torch(&dictionary, &[&[0; 8]]).bytes()
    };
    let told = |name: &str, bytes: Vec<u8>| {
        std::fs::write(project.path(name), bytes).unwrap();
        project.amlrun(&["model", "inspect", name]).ended(0).out
    };
    let plain = told("plain.pt", checkpoint(b"K\x03"));
    assert!(plain.contains("torch.load(\"plain.pt\", weights_only=True)") && plain.contains("can load it"), "{plain}");
    let scalar =
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\x00\x00\x00f8K\x00K\x01tRC\x08\0\0\0\0\0\0\0\0tR";
    for (name, body) in [
        ("scalar.pt", scalar.as_slice()),
        ("namespace.pt", b"cargparse\nNamespace\n)\x81}b"),
        ("short.pt", b"\x8c\x01x"),
        ("bytes.pt", b"cbuiltins\nlist\n)RK\x01a"),
    ] {
        let told = told(name, checkpoint(body));
        assert!(told.contains(&format!("torch.load(\"{name}\", weights_only=False)")), "{told}");
        assert!(told.contains("weights_only=True) refuses "), "{told}");
    }
    let right = right();
    let at = right.windows(3).position(|window| window == b"cpu").unwrap();
    let mut cuda = tensor(2, 0, &[2], &[1]);
    let place = cuda.windows(8).position(|window| window == b"\x03\0\0\0cpu\x8a").unwrap();
    cuda.splice(place..place + 7, *b"\x06\0\0\0cuda:0");
    assert!(at > 0);
    let cuda = told("cuda.pt", Zip::torch(&cuda, &[&[0; 8]]).bytes());
    assert!(cuda.contains("map_location=\"cpu\", weights_only=True") && cuda.contains("saved on cuda:0"), "{cuda}");
    for prefix in ["module.", "_orig_mod."] {
        let mut named = tensor(2, 0, &[2], &[1]);
        named.splice(3..9, text(&format!("{prefix}w")));
        let told = told("prefix.pt", Zip::torch(&named, &[&[0; 8]]).bytes());
        assert!(told.contains(&format!("names begin with '{prefix}'")), "{told}");
    }
}
