//! What is wrong with the data, a checkpoint or a command is told in one line, with exit code 1; wrong usage is 2.

use crate::stage_house::Bench;

#[test]
fn wrong_data_are_named_by_file_line_and_column() {
    let bench = Bench::new();
    bench.write("empty.csv", "");
    bench.write("bare.csv", "x,kind\n");
    bench.write("nan.csv", "x,y,kind\n1,2,a\n3,NaN,b\n");
    bench.write("gap.csv", "x,y,kind\n1,2,a\n,4,b\n");
    bench.write("word.csv", "x,y,kind\n1,2,a\n3,red,b\n");
    bench.write("ragged.csv", "x,y,kind\n1,2,a\n1,2\n");
    bench.write("one.csv", "x,kind\n1,a\n2,a\n");
    let train = |file: &str| format!("train --data {file} --label kind --checkpoint c");
    bench.fails(&train("missing.csv"), &["missing.csv", "No such file"]);
    bench.fails(&train("empty.csv"), &["empty.csv: is empty"]);
    bench.fails(&train("bare.csv"), &["bare.csv: has a header but no rows"]);
    bench.fails(&train("nan.csv"), &["nan.csv, line 3, column 'y'", "'NaN'"]);
    bench.fails(&train("gap.csv"), &["gap.csv, line 3, column 'x'", "missing"]);
    bench.fails(&train("word.csv"), &["word.csv, line 3, column 'y'", "'red'", "--features"]);
    bench.fails(&train("ragged.csv"), &["line 3 has 2 values, but the header has 3 columns"]);
    bench.fails(&train("one.csv"), &["only one class, 'a'"]);
    bench.fails("train --data train.csv --label kinds --checkpoint c", &["no column 'kinds'", "did you mean 'kind'?"]);
    bench.fails("train --data train.csv --label kind --features x,w --checkpoint c", &["has no column 'w'"]);
    bench.fails("train --data train.csv --label kind --features x,kind --checkpoint c", &["'kind' is the label"]);
    assert!(!bench.path("c").exists(), "nothing is written for data that cannot be trained on");
}

#[test]
fn checkpoints_of_another_architecture_are_refused() {
    let bench = Bench::new();
    bench.train("a", "--epochs 1 --hidden 4").ended(0);
    bench.train("b", "--epochs 1 --hidden 5").ended(0);
    let resume =
        |more: &str| format!("train --data train.csv --label kind --checkpoint c --resume a --epochs 2 {more}");
    bench.fails(&resume("--hidden 5"), &["--hidden 5 differs from 4 in the checkpoint", "a different architecture"]);
    bench.fails(&resume("--features x,y"), &["a different architecture", "x, y, z"]);
    bench.fails(&resume("--optimizer sgd"), &["--optimizer sgd differs from adam in the checkpoint"]);
    bench.fails(&resume("--seed 9"), &["--seed 9", "validation rows would be used for training"]);
    // The weights of one, the description of the other.
    let weights = bench.checkpoint("b", "weights.safetensors");
    std::fs::write(bench.path("a/epoch-000001/weights.safetensors"), weights).unwrap();
    bench.fails(
        "persist --checkpoint a --model m",
        &["a different architecture", "tensor 'fc1.weight'", "[5, 3]", "a 3-4-2 network needs [4, 3]"],
    );
}

#[test]
fn a_broken_checkpoint_is_named() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("empty")).unwrap();
    bench.fails("persist --checkpoint empty --model m", &["empty contains no checkpoint"]);
    bench.train("c", "--epochs 1").ended(0);
    let path = bench.path("c/epoch-000001/weights.safetensors");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    bench.fails("persist --checkpoint c --model m", &["weights.safetensors", "not a complete safetensors file"]);
    bench.write("c/latest", "../../etc\n");
    bench.fails("persist --checkpoint c --model m", &["'../../etc'", "not a checkpoint in this folder"]);
}

#[test]
fn a_training_that_runs_away_stops_and_says_what_to_do() {
    let bench = Bench::new();
    bench.write("wild.csv", "x,kind\n1,a\n2,b\n3,a\n4,b\n");
    let ran = bench
        .stage("train --data wild.csv --label kind --checkpoint c --optimizer sgd --learning-rate 1e38 --epochs 50")
        .ended(1);
    assert!(ran.err.contains("training diverges") && ran.err.contains("--learning-rate"), "{}", ran.err);
}

#[test]
fn wrong_usage_is_exit_code_two() {
    let bench = Bench::new();
    for arguments in [
        "train --data train.csv --label kind",
        "train --data train.csv --label kind --checkpoint c --dropout 1",
        "train --data train.csv --label kind --checkpoint c --epochs 0",
        "train --data train.csv --label kind --checkpoint c --device gpu",
        "evaluate --registered r --data d --report p --require accuracy",
        "register --model m --name a/b --output o",
        "unlearn",
    ] {
        let ran = bench.stage(arguments).ended(2);
        assert!(ran.err.starts_with("error: "), "{arguments}: {}", ran.err);
    }
    bench.fails("register --model . --name m --output o", &["is not a model directory", "model.pt"]);
}
