//! Files meant to harm end in one clear message, soon, and never in a crash; `benches/validate.py` has them at full size.

use serde_json::Value;

use crate::support::Project;

const JOB: &str = "type: command\nenvironment: azureml:small:1\ncommand: echo hello\n";

/// The first error of the file, in words, and its line.
fn first_error(project: &Project, file: &str) -> (String, Option<u64>) {
    let ran = project.amlrun(&["validate", file, "-o", "json"]).ended(1);
    assert_eq!(ran.err, "", "nothing beside the JSON");
    let printed: Value = serde_json::from_str(&ran.out).unwrap();
    let verdict = &printed["files"][0];
    assert_eq!(verdict["accepted"], false);
    let errors = verdict["diagnostics"].as_array().unwrap();
    let first = errors.iter().find(|one| one["severity"] == "error").unwrap();
    (first["message"].as_str().unwrap().to_owned(), first["line"].as_u64())
}

fn refused(text: impl AsRef<[u8]>) -> (String, Option<u64>) {
    let project = Project::new();
    std::fs::write(project.path("job.yml"), text).unwrap();
    first_error(&project, "job.yml")
}

#[test]
fn aliases_that_multiply_are_counted_not_followed() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    let (message, _) = refused(text + JOB);
    assert!(message.contains("aliases"), "{message}");
}

#[test]
fn deep_nesting_is_refused_in_both_styles() {
    let depth = 5_000;
    let flow = format!("{JOB}tags: {}{}\n", "[".repeat(depth), "]".repeat(depth));
    let (message, line) = refused(flow);
    assert!(line.is_some() && !message.is_empty(), "{message}");
    let (message, line) = refused(format!("{JOB}tags:\n{}x\n", "- ".repeat(depth)));
    assert!(line.is_some() && message.contains("deep"), "{message}");
    let steps: String = (0..depth).map(|n| format!("{}a:\n", " ".repeat(n + 2))).collect();
    let (message, line) = refused(format!("{JOB}tags:\n{steps}"));
    assert!(line.is_some() && message.contains("deep"), "{message}");
}

#[test]
fn text_that_would_be_indented_without_end_is_refused() {
    let wide = format!("{JOB}tags: {{{}: \"\n{}", "k".repeat(100_000), "x\n".repeat(300_000));
    let long = format!("{JOB}tags:\n  a: \"\n{}", "x\n".repeat(300_000));
    let many = format!("{JOB}tags:\n{}", "  - \"x\ny\"\n".repeat(100_000));
    for text in [wide, long, many] {
        let (message, line) = refused(text);
        assert!(line.is_some() && message.contains("not valid YAML"), "{message}");
    }
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_line() {
    let (message, line) = refused(format!("{JOB}tags: {{a: \0\0}}\n"));
    assert_eq!(line, Some(4), "{message}");
    let (message, _) = refused([JOB.as_bytes(), b"tags: {a: ", b"\xff\xfe", b"}\n"].concat());
    assert!(message.contains("UTF-8") && message.contains("line 4"), "{message}");
}

#[test]
fn references_that_lead_nowhere_good_are_refused() {
    let project = Project::new();
    let node = |kind: &str, component: &str| {
        format!("type: pipeline\njobs:\n  a:\n    type: {kind}\n    component: {component}\n")
    };
    project.write("itself.yml", &format!("name: itself\n{}", node("pipeline", "itself.yml")));
    project.write("circle.yml", &node("pipeline", "itself.yml"));
    first_error(&project, "circle.yml");
    for component in ["../../../../../../../../../../etc/passwd", "/dev/zero", ".", "\"a\\0b.yml\""] {
        project.write("job.yml", &node("command", component));
        let (message, line) = first_error(&project, "job.yml");
        assert!(line.is_some(), "{component}: {message}");
    }
}

#[test]
fn pipelines_that_double_with_each_level_are_counted() {
    let project = Project::new();
    let head = "$schema: https://azuremlschemas.azureedge.net/latest/pipelineComponent.schema.json\ntype: pipeline\n";
    for level in 0..25 {
        let node = |name: &str| format!("  {name}: {{type: pipeline, component: p{}.yml}}\n", level + 1);
        project.write(&format!("p{level}.yml"), &format!("{head}name: p{level}\njobs:\n{}{}", node("a"), node("b")));
    }
    let tags: String = (0..5000).map(|n| format!("  t{n}: x\n")).collect();
    project.write("p25.yml", &format!("{head}name: p25\njobs: {{}}\ntags:\n{tags}"));
    let (message, line) = first_error(&project, "p0.yml");
    assert!(line.is_some() && message.contains("more than 500000 nodes"), "{message}");
}
