//! Training: the same seed gives the same bits, a resumed training ends like one that was not interrupted, and what
//! a killed training leaves is whole.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::stage_house::Bench;
use crate::support::until_changed;

#[test]
fn the_same_seed_gives_the_same_model_byte_for_byte() {
    let bench = Bench::new();
    for (folder, seed) in [("a", 3), ("b", 3), ("c", 4)] {
        bench.train(&format!("{folder}/checkpoint"), &format!("--epochs 4 --seed {seed}")).ended(0);
        bench.stage(&format!("persist --checkpoint {folder}/checkpoint --model {folder}/model")).ended(0);
    }
    for file in ["model.safetensors", "model.pt", "architecture.json"] {
        assert!(bench.read(&format!("a/model/{file}")) == bench.read(&format!("b/model/{file}")), "{file} differs");
    }
    assert_ne!(bench.read("a/model/model.safetensors"), bench.read("c/model/model.safetensors"), "the seed decides");
}

#[test]
fn ten_epochs_are_five_and_five_more() {
    let bench = Bench::new();
    for options in [
        "--seed 1",
        "--optimizer adamw --weight-decay 0.01 --dropout 0.3 --hidden 8,6",
        "--optimizer sgd --momentum 0.9 --learning-rate 0.05 --weight-decay 0.001 --patience 50",
    ] {
        bench.train("whole", &format!("{options} --epochs 10")).ended(0);
        bench.train("part", &format!("{options} --epochs 5")).ended(0);
        // Options that are not given again come from the checkpoint.
        bench.train("resumed", "--resume part --epochs 10").ended(0);
        for file in ["weights.safetensors", "optimizer.safetensors", "progress.json", "architecture.json"] {
            let same = bench.checkpoint("whole", file) == bench.checkpoint("resumed", file);
            assert!(same, "{options}: {file} differs");
        }
        assert_eq!(bench.text("whole/metrics.jsonl"), bench.text("resumed/metrics.jsonl"), "{options}");
        assert_ne!(bench.checkpoint("part", "weights.safetensors"), bench.checkpoint("whole", "weights.safetensors"));
    }
}

#[test]
fn early_stopping_survives_a_resume() {
    let bench = Bench::new();
    // The class has nothing to do with the features: what is learned is noise, and the validation loss tells.
    let rows = (0..60).map(|row| format!("{},{},{}\n", row * 37 % 19, row * 11 % 23, ["a", "b"][row * row % 7 % 2]));
    bench.write("train.csv", &format!("x,y,kind\n{}", rows.collect::<String>()));
    let options = "--learning-rate 0.05 --validation-share 0.3 --patience 4";
    let whole = bench.train("whole", &format!("{options} --epochs 200")).ended(0);
    assert!(whole.out.contains("stopped early after epoch"), "{}", whole.out);
    let progress: serde_json::Value = serde_json::from_slice(&bench.checkpoint("whole", "progress.json")).unwrap();
    let (epoch, best) = (progress["epoch"].as_u64().unwrap(), progress["best_epoch"].as_u64().unwrap());
    assert_eq!(epoch - best, 4);
    bench.train("part", &format!("{options} --epochs {}", epoch - 2)).ended(0);
    bench.train("part", "--resume part --epochs 200").ended(0);
    assert_eq!(bench.checkpoint("whole", "progress.json"), bench.checkpoint("part", "progress.json"));
    assert_eq!(bench.checkpoint("whole", "weights.safetensors"), bench.checkpoint("part", "weights.safetensors"));
}

#[test]
fn training_learns_and_says_so_line_by_line() {
    let bench = Bench::new();
    let ran = bench.train("c", "--epochs 60 --learning-rate 0.01").ended(0);
    assert!(
        ran.out.starts_with("SimpleNet 3-20-2 on cpu: 54 training rows, 6 validation rows, seed 0\n"),
        "{}",
        ran.out
    );
    assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "no terminal, no escapes");
    let lines: Vec<serde_json::Value> =
        bench.text("c/metrics.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 60);
    let loss = |line: &serde_json::Value| line["train_loss"].as_f64().unwrap();
    assert!(loss(&lines[59]) < loss(&lines[0]) / 2.0, "{} to {}", lines[0], lines[59]);
    assert!(lines[59]["validation_accuracy"].is_number());
}

#[test]
fn a_killed_training_leaves_the_last_whole_checkpoint() {
    let bench = Bench::new();
    let mut child = bench
        .command("train --data train.csv --label kind --checkpoint c --epochs 1000000 --checkpoint-every 1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Told to run nearly for ever, it reports its first epochs; then it is killed wherever it is.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().starts_with("epoch ")));
    until_changed(&bench.path(""), "a whole checkpoint", || bench.path("c/latest").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    bench.stage("persist --checkpoint c --model m").ended(0);
    let progress: serde_json::Value = serde_json::from_slice(&bench.checkpoint("c", "progress.json")).unwrap();
    let more = progress["epoch"].as_u64().unwrap() + 2;
    bench.train("c", &format!("--resume c --epochs {more}")).ended(0);
    let lines = bench.text("c/metrics.jsonl");
    assert_eq!(lines.lines().count() as u64, more, "lines after the checkpoint were taken back");
    assert_eq!(lines.as_bytes(), bench.checkpoint("c", "metrics.jsonl"));
    let left: Vec<_> = std::fs::read_dir(bench.path("c")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "one checkpoint, latest, metrics: {left:?}");
}

#[test]
fn a_new_training_replaces_an_older_checkpoint_of_the_same_epoch() {
    let bench = Bench::new();
    bench.train("c", "--epochs 2 --seed 1").ended(0);
    let first = bench.checkpoint("c", "weights.safetensors");
    bench.train("c", "--epochs 2 --seed 2").ended(0);
    assert_ne!(bench.checkpoint("c", "weights.safetensors"), first);
    let again = bench.train("d", "--resume c --epochs 2").ended(0);
    assert!(again.out.contains("nothing to train: the checkpoint is at epoch 2"), "{}", again.out);
    assert_eq!(bench.checkpoint("c", "weights.safetensors"), bench.checkpoint("d", "weights.safetensors"));
    assert_eq!(std::fs::read_dir(bench.path("c")).unwrap().count(), 3);
}

#[test]
fn a_server_that_is_not_there_does_not_stop_a_training() {
    let bench = Bench::new();
    // Port 9 of this machine: nobody listens there.
    let mut command = bench.command("train --data train.csv --label kind --checkpoint c --epochs 2");
    command.env("MLFLOW_TRACKING_URI", "http://127.0.0.1:9").env("MLFLOW_RUN_ID", "r");
    let ran = crate::support::Ran::of(command).ended(0);
    assert!(ran.err.starts_with("warning: training continues without MLflow: "), "{}", ran.err);
    assert_eq!(bench.text("c/metrics.jsonl").lines().count(), 2);
}
