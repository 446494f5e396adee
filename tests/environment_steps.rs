//! What a step finds in its environment, and what it may do to it.

use std::path::Path;
use std::process::Command;

use crate::environments::{command, conda, project, run, step, wheel, written};
use crate::support::{Project, Ran, node, pipeline};

const INSTALL: &str = "pip install --quiet --no-index --find-links";

/// A node with the environment of `conda.yml`.
fn in_tools(name: &str, command: &str) -> String {
    node(name, command).replace("azureml:any@latest", "{image: python, conda_file: ./conda.yml}")
}

#[test]
fn a_module_that_is_missing_is_named_with_the_environment() {
    let project = project("1.0").with("pipeline.yml", &pipeline(&in_tools("a", "python -c 'import nowhere'")));
    let ran = run(&project, "r").ended(1);
    assert!(ran.out.contains("the environment 'tools' has no module 'nowhere'"), "{}", ran.out);
    let shown = project.amlrun(&["job", "show", "-n", "r", "--query", "jobs.a.environment", "-o", "tsv"]).ended(0);
    assert_eq!(shown.out, "tools\n");
}

#[test]
fn a_step_that_installs_packages_changes_no_other_step() {
    let project = project("1.0");
    wheel(&project, "1.1");
    let wheels = project.path("wheels");
    let print = "python -c 'import tool; print(tool.VERSION)'";
    let newer = format!("{INSTALL} {} tool==1.1 && {print} > ${{{{outputs.r}}}}", wheels.display());
    let outputs = "    outputs: {r: {type: uri_file}}\n";
    let newer = format!("{}{outputs}", in_tools("newer", &newer));
    project.write("pipeline.yml", &pipeline(&format!("{newer}{}", step("same"))));
    let ran = Ran::of(command(&project, &["run", "pipeline.yml", "--name", "r", "--jobs", "1"])).ended(0);
    assert_eq!((written(&project, "r", "newer"), written(&project, "r", "same")), ("1.1\n".into(), "1.0\n".into()));
    assert_eq!(ran.out.matches("building the environment").count(), 1, "{}", ran.out);
    assert!(std::fs::read_dir(project.path(".amlrun/overlays")).unwrap().next().is_none(), "overlays end with steps");
    let again = run(&project, "again").ended(0);
    assert!(!again.out.contains("building") && again.out.contains("same reused"), "{}", again.out);
}

/// A virtual environment of the user, which is active when amlrun runs.
fn active(project: &Project) -> String {
    let venv = project.path("venv");
    assert!(Command::new("python3").args(["-m", "venv"]).arg(&venv).status().unwrap().success());
    format!("{}:{}", venv.join("bin").display(), std::env::var("PATH").unwrap())
}

fn has_tool(project: &Project) -> bool {
    let mut python = Command::new(project.path("venv/bin/python"));
    python.args(["-c", "import tool"]).stderr(std::process::Stdio::null()).status().unwrap().success()
}

#[test]
fn the_users_own_python_stays_as_it_is() {
    let project = project("1.0");
    let path = active(&project);
    let install = format!("{INSTALL} {}", project.path("wheels").display());
    // In the command, in a script, and for the user instead of the environment.
    project.write(
        "install.py",
        &format!(
            "import subprocess, sys\nsubprocess.check_call([sys.executable, '-m', 'pip', *'{} tool'.split()[1:]])\n",
            install
        ),
    );
    let import = "python -c 'import tool; print(tool.VERSION)'";
    let scripted = format!("{}    code: ./install.py\n", node("scripted", &format!("python install.py && {import}")));
    let direct = node("direct", &format!("{install} tool && {import} && pip uninstall --quiet --yes tool"));
    project.write("pipeline.yml", &pipeline(&format!("{direct}{scripted}")));
    let mut run = project.command(&["run", "pipeline.yml", "--name", "r"]);
    let ran = Ran::of(run.env("PATH", &path)).ended(0);
    assert!(ran.out.matches("| 1.0").count() == 2, "{}", ran.out);
    assert!(!has_tool(&project));
    // Nothing changed on this machine, so the results can be reused.
    let mut plan = project.command(&["plan", "pipeline.yml"]);
    assert!(Ran::of(plan.env("PATH", &path)).ended(0).out.contains("0 to run, 2 reused"));
}

#[test]
fn an_environment_that_somebody_changed_is_built_again() {
    let project = project("1.0").with("pipeline.yml", &pipeline(&step("a")));
    run(&project, "one").ended(0);
    let find = walkdir::WalkDir::new(project.path("cache/amlrun/environments")).into_iter().flatten();
    let packages = find.map(walkdir::DirEntry::into_path).find(|path| path.ends_with("site-packages")).unwrap();
    std::fs::create_dir(packages.join("stray-1.dist-info")).unwrap();
    let ran = Ran::of(command(&project, &["run", "pipeline.yml", "--name", "two", "--force-rerun"])).ended(0);
    assert!(ran.out.contains("building the environment 'tools'"), "{}", ran.out);
    assert!(!packages.join("stray-1.dist-info").exists());
}

#[test]
fn a_run_can_have_exactly_the_versions_of_an_earlier_one() {
    let project = project("1.0").with("pipeline.yml", &pipeline(&step("a")));
    let floating = conda("1.0", "  - --no-index\n  - --find-links ./wheels\n").replace("tool==1.0", "tool>=1.0");
    project.write("conda.yml", &floating);
    run(&project, "one").ended(0);
    wheel(&project, "1.1");
    std::fs::remove_dir_all(project.path("cache")).unwrap();
    let locked = ["run", "pipeline.yml", "--name", "locked", "--locked", "one", "--force-rerun"];
    Ran::of(command(&project, &locked)).ended(0);
    assert_eq!(written(&project, "locked", "a"), "1.0\n");
    run(&project, "free").ended(0);
    assert_eq!(written(&project, "free", "a"), "1.1\n");
    let why = project.amlrun(&["why", "free"]).ended(0);
    assert!(why.out.contains("tool") && why.out.contains("1.0") && why.out.contains("1.1"), "{}", why.out);
    let other =
        Ran::of(command(&project, &["plan", "pipeline.yml", "--locked", "one", "--environment", "host"])).ended(2);
    assert!(other.err.contains("--locked needs environments that are built"), "{}", other.err);
    let unknown = Ran::of(command(&project, &["plan", "pipeline.yml", "--locked", "nothing"])).ended(3);
    assert!(unknown.err.contains("nothing"), "{}", unknown.err);
}

#[test]
fn the_python_of_an_images_name_is_used_where_it_is() {
    let mut version = Command::new("python3");
    version.args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
    let version = String::from_utf8(version.output().unwrap().stdout).unwrap();
    let print = "python -c 'import sys; print(sys.version_info[:2], sys.prefix)'";
    let of =
        |name: &str, image: &str| node(name, print).replace("azureml:any@latest", &format!("{{image: \"{image}\"}}"));
    let here = of("here", &format!("python:{}-slim", version.trim()));
    let project = Project::new().with("pipeline.yml", &pipeline(&format!("{here}{}", of("any", "python"))));
    let ran = run(&project, "r").ended(0);
    let cache = project.path("cache").display().to_string();
    let printed = |step: &str| {
        let begin = format!("{step:4} | ");
        ran.out.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("{}", ran.out)).to_owned()
    };
    assert!(printed("here").contains(&cache) && !printed("any").contains(&cache), "{}", ran.out);
    assert!(Path::new(&cache).exists());
}

/// Stands for micromamba: makes the prefix, and records what it was asked for as conda does.
const CONDA_TOOL: &str = r#"#!/bin/sh
while [ "$1" != --prefix ]; do shift; done
python3 -m venv "$2"
mkdir "$2/conda-meta"
echo '{"name": "r-base", "version": "4.1.3"}' > "$2/conda-meta/r-base-4.1.3.json"
shift 2
echo "$*" > "$(dirname "$0")/asked"
"#;

#[test]
fn a_conda_tool_installs_what_only_conda_has_and_pip_the_rest() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = project("1.0");
    project.write("bin/micromamba", CONDA_TOOL);
    std::fs::set_permissions(project.path("bin/micromamba"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = project.read("conda.yml").replace("- python\n", "- python=3.11\n- r-base>=4.1\n");
    project.write("conda.yml", &text.replace("dependencies:", "channels: [bioconda, nodefaults]\ndependencies:"));
    project.write("pipeline.yml", &pipeline(&step("a")));
    let path = format!("{}:{}", project.path("bin").display(), std::env::var("PATH").unwrap());
    let mut run = command(&project, &["run", "pipeline.yml", "--name", "r"]);
    Ran::of(run.env("PATH", path)).ended(0);
    assert_eq!(written(&project, "r", "a"), "1.0\n");
    let asked = project.read("bin/asked");
    assert!(asked.contains("--override-channels --channel bioconda python=3.11 r-base>=4.1"), "{asked}");
    let events = project.read(".amlrun/runs/r/events.jsonl");
    assert!(events.contains("\"r-base\":\"4.1.3\"") && events.contains("\"tool\":\"1.0\""), "{events}");
}
