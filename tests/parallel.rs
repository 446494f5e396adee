//! Parallel steps under load and under faults. What each of their fields does is shown in `tests/corpus/run/parallel`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Project, Ran, lives, skipped, until_changed};

/// A project with a parallel step that has these fields, and that number of files; `None` without Python.
fn project(files: usize, fields: &str, script: &str) -> Option<Project> {
    if amlrun::fs::program::on_path("python3", None).is_none() {
        skipped("no python3");
        return None;
    }
    let fields: String = fields.lines().map(|line| format!("    {}\n", line.trim())).collect();
    let job = format!(
        "type: pipeline\njobs:\n  score:\n    type: parallel\n    inputs: {{rows: {{type: uri_folder, path: data}}}}\n    \
         outputs: {{scores: {{type: uri_file}}}}\n    input_data: ${{{{inputs.rows}}}}\n{fields}    task:\n      \
         type: run_function\n      code: src\n      entry_script: score.py\n      environment: azureml:any@latest\n      \
         append_row_to: ${{{{outputs.scores}}}}\n      program_arguments: {}\n",
        "--marks {marks}"
    );
    let project = Project::new();
    std::fs::create_dir_all(project.path("marks")).unwrap();
    for index in 0..files {
        project.write(&format!("data/{:02}/{index:05}.txt", index % 100), &index.to_string());
    }
    let job = job.replace("{marks}", &project.path("marks").display().to_string());
    Some(project.with("job.yml", &job).with("src/score.py", script))
}

fn scores(project: &Project) -> String {
    project.read(".amlrun/store/v1/r.score.scores/scores")
}

/// How often each mini-batch was begun, by the names of the files in `marks`.
fn calls(project: &Project) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for mark in std::fs::read_dir(project.path("marks")).unwrap() {
        let name = mark.unwrap().file_name().into_string().unwrap();
        *calls.entry(name.split('-').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    calls
}

/// Notes each call in a file of its own, so that no two processes write to the same one.
const MARK: &str = "
import os, signal, sys, tempfile
def mark(index):
    os.close(tempfile.mkstemp(prefix='%d-' % index, dir=sys.argv[2])[0])
def tries(index):
    return len([name for name in os.listdir(sys.argv[2]) if name.startswith('%d-' % index)])
";

#[test]
fn ten_thousand_files_are_each_processed_once() {
    let script = "
import os
def run(mini_batch):
    return ['%s %d' % (os.path.basename(path), int(open(path).read()) * 2) for path in mini_batch]
";
    let fields =
        "mini_batch_size: '10'\nmax_concurrency_per_instance: 2\nmini_batch_error_threshold: 0\nerror_threshold: 0";
    let Some(project) = project(10_000, fields, script) else { return };
    let ran = project.run("job.yml").ended(0);
    assert!(ran.out.contains("1,000 mini-batches completed, 0 failed, 0 retried; 10,000 items"), "{}", ran.out);
    // The same script, called by one process for all files in the order of their paths.
    let alone = "import os, sys; sys.path.insert(0, 'src'); import score\n\
        paths = [os.path.join(f, n) for f, _, names in os.walk('data') for n in names]\n\
        print('\\n'.join(score.run(sorted(paths))))";
    let mut python = Command::new("python3");
    let one = Ran::of(python.args(["-c", alone]).current_dir(project.path(""))).ended(0);
    assert_eq!(scores(&project), one.out);
    assert_eq!(one.out.lines().count(), 10_000);
    let workers = std::fs::read_dir(project.path(".amlrun/runs/r/steps/score/wd/logs/user/stdout/0")).unwrap().count();
    assert_eq!(workers, 2, "workers stay from one mini-batch to the next");
}

#[test]
fn workers_that_are_killed_lose_nothing() {
    let script = MARK.to_owned()
        + "
def run(mini_batch, context):
    index = context.minibatch_index
    mark(index)
    if index % 10 == 3 and tries(index) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return [open(path).read() for path in mini_batch]
";
    let fields = "mini_batch_size: '5'\nmax_concurrency_per_instance: 2\nmini_batch_error_threshold: 0\nretry_settings: {max_retries: 1}";
    let Some(project) = project(1000, fields, &script) else { return };
    let ran = project.run("job.yml").ended(0);
    assert!(ran.out.contains("200 mini-batches completed, 0 failed, 20 retried; 1,000 items"), "{}", ran.out);
    assert!(ran.out.contains("the worker ended with signal 9"), "{}", ran.out);
    assert!(ran.out.contains("further errors are only in logs/user/error"), "{}", ran.out);
    let calls = calls(&project);
    assert!((0..200).all(|index| calls[&index.to_string()] == if index % 10 == 3 { 2 } else { 1 }));
    let mut values: Vec<usize> = scores(&project).lines().map(|line| line.parse().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_mini_batch_that_takes_too_long_is_ended_with_all_that_it_started() {
    let script = MARK.to_owned()
        + "
import subprocess
def run(mini_batch, context):
    if context.minibatch_index == 1:
        child = subprocess.Popen(['sleep', '1000'])
        with open(os.path.join(sys.argv[2], 'child-%d' % child.pid), 'w'): pass
        child.wait()
    return mini_batch
";
    let fields = "mini_batch_size: '1'\nmini_batch_error_threshold: 1\nretry_settings: {max_retries: 1, timeout: 1}";
    let Some(project) = project(3, fields, &script) else { return };
    let ran = project.run("job.yml").ended(0);
    assert!(ran.out.contains("run() took longer than 1 s"), "{}", ran.out);
    assert!(ran.out.contains("2 mini-batches completed, 1 failed, 1 retried"), "{}", ran.out);
    let children = std::fs::read_dir(project.path("marks")).unwrap();
    let children: Vec<String> = children.map(|c| c.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(children.len(), 2);
    assert!(children.iter().all(|child| !lives(child.trim_start_matches("child-"))));
}

/// Stays in the mini-batch 15 until there is a file `go`.
const WAITS: &str = "
def run(mini_batch, context):
    index = context.minibatch_index
    mark(index)
    if index == 15 and not os.path.exists(os.path.join(sys.argv[2], '..', 'go')):
        with open(os.path.join(sys.argv[2], 'worker-%d' % os.getpid()), 'w'): pass
        with open(os.path.join(sys.argv[2], 'master-%d' % os.getppid()), 'w'): pass
        signal.pause()
    return mini_batch
";

/// Starts the run, and waits until one worker is held and the other has finished the rest. Gives the ids of the driver and
/// of the held worker.
fn held(project: &Project) -> (Child, Vec<String>) {
    let mut command = project.command(&["run", "job.yml", "--name", "r", "--jobs", "2"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let state = project.path(".amlrun/runs/r/steps/score/parallel/state/finished");
    let finished = |path: &Path| {
        let text = std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().filter(|line| line.contains("\"index\"")).count()
    };
    let names = || {
        let marks = std::fs::read_dir(project.path("marks")).unwrap();
        marks.map(|mark| mark.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    // The driver's mark is the last one that the held worker makes.
    let is_held = || finished(&state) == 19 && names().iter().any(|name| name.starts_with("master-"));
    until_changed(&project.path(""), "all but one are finished", is_held);
    // The driver's mark is first: `master` sorts before `worker`.
    let mut ids: Vec<String> = names().into_iter().filter(|name| name.contains("er-")).collect();
    ids.sort();
    (child, ids.iter().map(|name| name.split('-').next_back().unwrap_or_default().to_owned()).collect())
}

const TWENTY: &str = "mini_batch_size: '1'\nmax_concurrency_per_instance: 2";

#[test]
fn after_a_kill_of_the_runner_only_missing_mini_batches_run() {
    let Some(project) = project(20, TWENTY, &(MARK.to_owned() + WAITS)) else { return };
    let (mut runner, ids) = held(&project);
    runner.kill().unwrap();
    runner.wait().unwrap();
    until_gone(&ids);
    project.write("go", "");
    let ran = project.amlrun(&["run", "--resume", "r"]).ended(0);
    assert!(ran.out.contains("19 of 20 mini-batches were completed by an earlier attempt"), "{}", ran.out);
    let calls = calls(&project);
    assert!((0..20).all(|index| calls[&index.to_string()] == if index == 15 { 2 } else { 1 }), "{calls:?}");
    assert_eq!(project.read(".amlrun/store/v1/r.score.scores~2/scores").lines().count(), 20);
}

#[test]
fn ctrl_c_ends_the_driver_and_its_workers() {
    let Some(project) = project(20, TWENTY, &(MARK.to_owned() + WAITS)) else { return };
    let (mut runner, ids) = held(&project);
    assert_eq!(ids.len(), 2);
    kill(Pid::from_raw(runner.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(runner.wait().unwrap().code(), Some(130));
    assert!(ids.iter().all(|id| !lives(id)));
    assert_eq!(project.shown()["jobs"]["score"]["status"], "Canceled");
}

#[test]
fn workers_end_with_their_driver() {
    let Some(project) = project(20, TWENTY, &(MARK.to_owned() + WAITS)) else { return };
    let (mut runner, ids) = held(&project);
    kill(Pid::from_raw(ids[0].parse().unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(runner.wait().unwrap().code(), Some(1));
    assert!(ids.iter().all(|id| !lives(id)));
}

#[test]
fn each_worker_has_a_gpu_of_its_own_while_there_is_one() {
    let script = "
import os
from azureml_user.parallel_run import EntryScript
def init():
    EntryScript().logger.info('from %s', EntryScript().agent_name)
def run(mini_batch):
    open(os.path.join(EntryScript().log_dir, EntryScript().agent_name + '-' + os.environ['CUDA_VISIBLE_DEVICES']), 'w')
    return mini_batch
";
    let fields = "mini_batch_size: '1'\nmax_concurrency_per_instance: 2";
    let Some(project) = project(40, fields, script) else { return };
    let mut command = project.command(&["run", "job.yml", "--name", "r", "--jobs", "2"]);
    Ran::of(command.env("CUDA_VISIBLE_DEVICES", "4,7")).ended(0);
    let logs = project.path(".amlrun/runs/r/steps/score/wd/logs/user/entry_script_log/0");
    let names: Vec<String> =
        std::fs::read_dir(&logs).unwrap().map(|log| log.unwrap().file_name().into_string().unwrap()).collect();
    for name in names.iter().filter(|name| !name.ends_with(".log.txt")) {
        assert!(["process000-4", "process001-7"].contains(&name.as_str()), "{names:?}");
    }
    let log = std::fs::read_to_string(logs.join("process000.log.txt")).unwrap();
    assert!(log.contains("|INFO|") && log.trim_end().ends_with("from process000"), "{log}");
}

#[test]
fn there_are_no_more_workers_than_slots() {
    let fields = "mini_batch_size: '1'\nmax_concurrency_per_instance: 2\nresources: {instance_count: 2}";
    let Some(project) = project(60, fields, "def run(files): return files\n") else { return };
    project.amlrun(&["run", "job.yml", "--name", "r", "--jobs", "3"]).ended(0);
    let logs = project.path(".amlrun/runs/r/steps/score/wd/logs/user/stdout");
    let workers = |node: &str| std::fs::read_dir(logs.join(node)).unwrap().count();
    assert_eq!((workers("0"), workers("1")), (2, 1));
    let plan: serde_json::Value = serde_json::from_str(&project.read(".amlrun/runs/r/plan.json")).unwrap();
    assert_eq!(plan["steps"][0]["slots"], 4, "one for each worker that the file asks for");
    assert_eq!(plan["steps"][0]["kind"], "parallel");
}

#[test]
fn every_field_becomes_an_option_of_the_driver() {
    let fields = "mini_batch_size: '7'\nmax_concurrency_per_instance: 1\nerror_threshold: 3\nmini_batch_error_threshold: 2\n\
        logging_level: WARNING\nretry_settings: {timeout: 5, max_retries: 0}\nenvironment_variables: {MODE: fast}";
    let Some(project) = project(1, fields, "def run(files): return files\n") else { return };
    project.run("job.yml").ended(0);
    let plan: serde_json::Value = serde_json::from_str(&project.read(".amlrun/runs/r/plan.json")).unwrap();
    let marks = project.path("marks").display().to_string();
    let command = plan["steps"][0]["command"].as_str().unwrap();
    assert_eq!(
        command.replace(&marks, "MARKS"),
        "exec python3 \"$AMLRUN_PARALLEL_DRIVER\" --entry-script=score.py --input-data=${{inputs.rows}} --input-name=rows \
         --input-type=uri_folder --mini-batch-size=7 --max-concurrency-per-instance=1 --error-threshold=3 \
         --mini-batch-error-threshold=2 --timeout=5 --max-retries=0 --logging-level=WARNING \
         --append-row-to=${{outputs.scores}} --append-row-type=uri_file --variable=MODE -- --marks MARKS"
    );
}

/// Waits until the processes are gone: the kernel closes the pipes of a killed process a little later.
fn until_gone(ids: &[String]) {
    for id in ids {
        while lives(id) {
            std::thread::yield_now();
        }
    }
}
