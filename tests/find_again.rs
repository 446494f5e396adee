//! Finding things again: logs of reused and distributed steps, runs by the beginning of their names, steps by their job
//! names.

use crate::support::{Project, node, pipeline};

/// `make` writes what `use` reads.
fn two_steps() -> Project {
    let nodes = node("make", "echo made; echo 1 > ${{outputs.o}}/f")
        + "    outputs: {o: }\n"
        + &node("use", "cat ${{inputs.i}}/f")
        + "    inputs: {i: \"${{parent.jobs.make.outputs.o}}\"}\n";
    Project::new().with("pipeline.yml", &pipeline(&nodes))
}

fn run(project: &Project, name: &str) {
    project.amlrun(&["run", "pipeline.yml", "--name", name, "--quiet"]).ended(0);
}

#[test]
fn the_log_of_a_reused_step_is_that_of_the_run_that_made_its_result() {
    let project = two_steps();
    run(&project, "first");
    run(&project, "second");
    let log = project.amlrun(&["logs", "second", "make"]).ended(0);
    assert_eq!(log.out, "made\n");
    assert!(log.err.contains("first-make"), "{}", log.err);
    let all = project.amlrun(&["logs", "second"]).ended(0);
    let from = |step: &str| format!("==> {step} (reused from first-{step}) <==\n");
    assert_eq!(all.out, format!("{}made\n{}1\n", from("make"), from("use")));
}

#[test]
fn a_log_is_kept_with_its_result_when_its_run_is_deleted() {
    let project = two_steps();
    run(&project, "first");
    run(&project, "second");
    project.amlrun(&["job", "delete", "-n", "first"]).ended(0);
    assert_eq!(project.amlrun(&["logs", "second", "make"]).ended(0).out, "made\n");
    assert_eq!(project.amlrun(&["logs", "second", "use"]).ended(0).out, "1\n", "of a step without outputs as well");
    run(&project, "third");
    assert_eq!(project.amlrun(&["logs", "third", "make"]).ended(0).out, "made\n");
    project.amlrun(&["cache", "gc"]).ended(0);
    assert_eq!(project.amlrun(&["logs", "third", "make"]).ended(0).out, "made\n", "it is still used");
    for gone in ["second", "third"] {
        project.amlrun(&["job", "delete", "-n", gone]).ended(0);
    }
    project.amlrun(&["cache", "gc"]).ended(0);
    assert!(!project.path(".amlrun/logs/v1/first-make").exists(), "nobody uses it any more");
}

#[test]
fn a_run_with_the_name_of_a_deleted_one_changes_nothing_of_what_that_made() {
    let project = two_steps();
    run(&project, "first");
    run(&project, "second");
    project.amlrun(&["job", "delete", "-n", "first"]).ended(0);
    // It would write where the result is that the second run uses.
    project.write("other.yml", &pipeline(&(node("make", "echo 2 > ${{outputs.o}}/f") + "    outputs: {o: }\n")));
    let refused = project.amlrun(&["run", "other.yml", "--name", "first"]).ended(1);
    assert!(refused.err.contains("'first' was deleted, but its outputs are still in use"), "{}", refused.err);
    assert_eq!(project.read(".amlrun/store/v1/first.make.o/f"), "1\n");
    // Where only a log is left, the name is free, and the log is still that of the deleted run.
    project.write("alone.yml", &pipeline(&node("say", "echo said")));
    for name in ["third", "fourth"] {
        project.amlrun(&["run", "alone.yml", "--name", name]).ended(0);
    }
    project.amlrun(&["job", "delete", "-n", "third"]).ended(0);
    project.write("alone.yml", &pipeline(&node("say", "echo other")));
    project.amlrun(&["run", "alone.yml", "--name", "third"]).ended(0);
    assert_eq!(project.amlrun(&["logs", "fourth", "say"]).ended(0).out, "said\n");
}

#[test]
fn logs_of_old_runs_survive_a_clean_up_when_later_runs_use_their_results() {
    let project = two_steps();
    run(&project, "first");
    run(&project, "second");
    // As if it had ended long ago.
    let record = ".amlrun/runs/first/events.jsonl";
    let old = project.read(record).replace("\"time\":1", "\"time\":");
    project.write(record, &old);
    project.amlrun(&["cache", "gc", "--older-than", "30"]).ended(0);
    assert!(!project.path(".amlrun/runs/first").exists());
    assert_eq!(project.amlrun(&["logs", "second", "make"]).ended(0).out, "made\n");
}

#[test]
fn without_a_run_the_logs_are_those_of_the_last_one() {
    let project = two_steps();
    let none = project.amlrun(&["logs"]).ended(3);
    assert!(none.err.contains("no run") && none.err.contains("amlrun run"), "{}", none.err);
    run(&project, "zebra");
    project.write("other.yml", &pipeline(&node("hello", "echo hello")));
    project.amlrun(&["run", "other.yml", "--name", "ant"]).ended(0);
    assert_eq!(project.amlrun(&["logs"]).ended(0).out, "==> hello <==\nhello\n");
    let step = project.amlrun(&["logs", "hello"]).ended(3);
    assert!(step.err.contains("amlrun logs ant hello"), "{}", step.err);
}

#[test]
fn the_beginning_of_a_name_will_do_when_only_one_run_has_it() {
    let project = two_steps();
    run(&project, "brave_fox");
    run(&project, "brave_owl");
    assert!(project.amlrun(&["logs", "brave_f", "make"]).ended(0).out.contains("made"));
    assert!(project.amlrun(&["why", "brave_o"]).ended(0).out.contains("make was reused"));
    let status = ["job", "show", "-n", "brave_o", "--query", "name", "-o", "tsv"];
    assert_eq!(project.amlrun(&status).ended(0).out, "brave_owl\n");
    assert_eq!(project.amlrun(&["job", "archive", "-n", "brave_o"]).ended(0).out, "brave_owl: archived\n");
    project.amlrun(&["job", "download", "-n", "brave_f", "--output-name", "make.o", "-p", "got"]).ended(0);
    let both = project.amlrun(&["logs", "brave"]).ended(3);
    assert!(both.err.contains("2 runs") && both.err.contains("brave_fox, brave_owl"), "{}", both.err);
    // What is deleted is named in full: the run that was meant may be gone already.
    let kept = project.amlrun(&["job", "delete", "-n", "brave_f"]).ended(3);
    assert!(kept.err.contains("brave_fox") && project.path(".amlrun/runs/brave_fox").exists(), "{}", kept.err);
}

#[test]
fn a_step_is_found_by_its_job_name() {
    let project = two_steps();
    run(&project, "r");
    assert_eq!(project.amlrun(&["logs", "r-make"]).ended(0).out, "made\n");
    let shown = project.amlrun(&["job", "show", "-n", "r-make", "--query", "[name, parent_job_name]", "-o", "tsv"]);
    assert_eq!(shown.ended(0).out, "r-make\nr\n");
    let wrong = project.amlrun(&["job", "show", "-n", "r-mkae"]).ended(3);
    assert!(wrong.err.contains("did you mean 'r-make'?"), "{}", wrong.err);
    let over = project.amlrun(&["job", "cancel", "-n", "r-make"]).ended(1);
    assert!(over.err.contains("has already ended: it is Completed"), "{}", over.err);
}

/// Waits until somebody writes to the pipe `go` of the project.
const WAITS: &str = "read -r line < ../../../../../../go";

fn waiting(nodes: &str) -> Project {
    let project = Project::new().with("pipeline.yml", &pipeline(nodes));
    nix::unistd::mkfifo(&project.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    project
}

#[test]
fn one_step_is_canceled_and_the_others_go_on() {
    let nodes = node("slow", "echo waits; sleep 600")
        + "    outputs: {o: }\n"
        + &node("after", "ls ${{inputs.i}}")
        + "    inputs: {i: \"${{parent.jobs.slow.outputs.o}}\"}\n"
        + &node("other", WAITS);
    let project = waiting(&nodes);
    let (mut child, rest) = project.start_until(&["pipeline.yml", "--jobs", "2"], "waits");
    assert_eq!(project.amlrun(&["job", "cancel", "-n", "r-slow"]).ended(0).out, "r-slow: Canceled\n");
    std::fs::write(project.path("go"), "go\n").unwrap();
    rest.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let shown = project.shown();
    let status = |step: &str| shown["jobs"][step]["status"].as_str().unwrap().to_owned();
    assert_eq!([status("slow"), status("after"), status("other")], ["Canceled", "Canceled", "Completed"]);
}

#[test]
fn logs_are_followed_to_the_end_of_a_run() {
    let project = waiting(&node("one", &format!("echo first; {WAITS}; echo last")));
    let (mut child, rest) = project.start_until(&["pipeline.yml"], "first");
    let mut follow = project.command(&["logs", "-f", "r", "one"]);
    let mut follow = follow.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(follow.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "first");
    std::fs::write(project.path("go"), "go\n").unwrap();
    rest.for_each(drop);
    assert_eq!(lines.map(Result::unwrap).collect::<Vec<_>>(), ["last"]);
    assert_eq!((follow.wait().unwrap().code(), child.wait().unwrap().code()), (Some(0), Some(0)));
}

/// Of two ranks the second fails.
fn two_ranks() -> Project {
    let command = "echo i am rank $RANK; if [ $RANK = 1 ]; then echo oh no; exit 3; fi; sleep 600";
    let nodes = node("dist", command) + "    distribution: {type: pytorch, process_count_per_instance: 2}\n";
    Project::new().with("pipeline.yml", &pipeline(&nodes))
}

#[test]
fn a_failed_rank_shows_its_own_last_lines_and_log() {
    let project = two_ranks();
    let ran = project.amlrun(&["run", "pipeline.yml", "--name", "r", "--quiet"]).ended(1);
    assert!(ran.out.contains("rank 1: exit code 3") && ran.out.contains("| oh no"), "{}", ran.out);
    assert!(ran.out.contains("std_log_process_1.txt"), "{}", ran.out);
}

#[test]
fn logs_of_all_ranks_or_of_one() {
    let project = two_ranks();
    project.run("pipeline.yml").ended(1);
    let all = project.amlrun(&["logs", "r", "dist"]).ended(0);
    assert!(all.out.contains("==> dist, rank 1 <==\ni am rank 1\noh no\n"), "{}", all.out);
    assert!(all.out.contains("==> dist, rank 0 <=="), "{}", all.out);
    assert_eq!(project.amlrun(&["logs", "r", "dist", "--rank", "1"]).ended(0).out, "i am rank 1\noh no\n");
    let beyond = project.amlrun(&["logs", "r", "dist", "--rank", "2"]).ended(3);
    assert!(beyond.err.contains("no process 2: use 0 to 1"), "{}", beyond.err);
}

/// Every file below a folder, sorted.
fn files(project: &Project, folder: &str) -> Vec<String> {
    let root = project.path(folder);
    let (mut open, mut found) = (vec![root.clone()], Vec::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push(path.strip_prefix(&root).unwrap().display().to_string());
        }
    }
    found.sort();
    found
}

/// Its steps write outputs and a file to `./outputs`.
fn leaves_much() -> Project {
    let nodes = node("make", "echo made; echo 1 > ${{outputs.o}}/f; echo 2 > outputs/g")
        + "    outputs: {o: }\n"
        + &node("use", "cat ${{inputs.i}}/f > ${{outputs.last}}/h")
        + "    inputs: {i: \"${{parent.jobs.make.outputs.o}}\"}\n    outputs: {last: \"${{parent.outputs.end}}\"}\n";
    let text = pipeline(&nodes).replace("jobs:", "outputs: {end: {type: uri_folder}}\njobs:");
    Project::new().with("pipeline.yml", &text)
}

#[test]
fn everything_that_a_run_left_is_downloaded() {
    let project = leaves_much();
    run(&project, "first");
    // As the tracking server keeps what a step logs.
    project.write(".amlrun/runs/first/steps/make/artifacts/plots/loss.txt", "falls");
    let expected = [
        "artifacts/make/outputs/g",
        "artifacts/make/plots/loss.txt",
        "artifacts/make/user_logs/std_log.txt",
        "named-outputs/end/h",
        "named-outputs/make.o/f",
    ];
    project.amlrun(&["job", "download", "-n", "first", "--all", "-p", "got"]).ended(0);
    assert_eq!(files(&project, "got"), expected, "the output of 'use' is the run's own");
    run(&project, "second");
    project.amlrun(&["job", "download", "-n", "second", "--all", "-p", "again"]).ended(0);
    assert_eq!(files(&project, "again"), expected, "of a reused run what was made before");
    project.amlrun(&["job", "download", "-n", "second-make", "--all", "-p", "one"]).ended(0);
    assert!(files(&project, "one").contains(&"artifacts/plots/loss.txt".to_owned()));
    project.amlrun(&["job", "delete", "-n", "first"]).ended(0);
    project.amlrun(&["job", "download", "-n", "second", "--all", "-p", "later"]).ended(0);
    assert_eq!(files(&project, "later"), [expected[2], expected[3], expected[4]], "what was kept of a deleted run");
}

#[test]
fn that_there_is_nothing_to_download_is_told() {
    let project = Project::new().with("pipeline.yml", &pipeline(&node("a", "true")));
    project.run("pipeline.yml").ended(0);
    let nothing = project.amlrun(&["job", "download", "-n", "r", "--all", "-p", "got"]).ended(0);
    assert!(nothing.err.contains("has nothing to download"), "{}", nothing.err);
}

#[test]
fn outputs_have_an_address_that_other_jobs_can_read() {
    let project = leaves_much();
    let ran = project.amlrun(&["run", "pipeline.yml", "--name", "first"]).ended(0);
    assert!(ran.out.contains("azureml://jobs/first/outputs/end\n"), "{}", ran.out);
    let uri = ["job", "show", "-n", "first", "--query", "jobs.make.outputs.o.uri", "-o", "tsv"];
    let uri = project.amlrun(&uri).ended(0).out;
    assert_eq!(uri, "azureml://jobs/first-make/outputs/o\n");
    let reads = node("reads", "cat ${{inputs.i}}/f")
        + &format!("    inputs: {{i: {{type: uri_folder, path: \"{}\"}}}}\n", uri.trim());
    project.write("other.yml", &pipeline(&reads));
    project.run("other.yml").ended(0);
    assert_eq!(project.log("reads"), "1\n");
}
