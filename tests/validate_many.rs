//! `amlrun validate` on folders and patterns, and its forms for machines: annotations and SARIF.

use serde_json::Value;

use crate::support::{Project, node, pipeline};

const COMPONENT: &str = "$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json\nname: train\n\
    environment: azureml:any@latest\ncommand: echo ${{inputs.rate}}\ninputs: {rate: {type: number}}\n";

/// Two pipelines, one refused; the refused component that both name; files that are none of ours.
fn project() -> Project {
    let node = "  a:\n    type: command\n    component: ../parts/train.yml\n    inputs: {rate: 1}\n";
    Project::new()
        .with("pipelines/b.yml", &pipeline(node))
        .with("pipelines/a b.yaml", &pipeline(&crate::support::node("x", "true")))
        .with("pipelines/z/c.yml", &pipeline(&node.replace("../", "../../").replace("rate:", "rat:")))
        .with("parts/train.yml", &COMPONENT.replace("inputs.rate", "inputs.rat"))
        .with("conda.yml", "name: e\ndependencies: [python]\n")
        .with(".github/workflows/ci.yml", "on: push\njobs: {}\n")
        .with("compose.yaml", "services: {}\n")
        .with("notes.txt", "type: pipeline\njobs: {}\n")
        .with(".amlrun/runs/x/job.yml", &pipeline("  a: 1\n"))
        .with("old/gone.yml", &pipeline("  a: 1\n"))
        .with(".gitignore", "old/\n")
}

#[test]
fn a_folder_means_its_azure_documents_in_order() {
    let project = project();
    let ran = project.amlrun(&["validate", "."]).ended(1);
    let verdicts: Vec<&str> = ran.out.lines().filter(|l| !l.is_empty()).collect();
    assert_eq!(
        verdicts,
        [
            "parts/train.yml: command component, refused: 1 error",
            "pipelines/a b.yaml: pipeline with 1 step, accepted",
            "pipelines/b.yml: pipeline job, refused: for the reasons above",
            "pipelines/z/c.yml: pipeline job, refused: 1 error",
            "4 files: 1 accepted, 3 refused; 2 errors; 2 files skipped",
        ],
        "{}",
        ran.err
    );
    assert_eq!(ran.err.matches("'rat', but the component declares 'rate'").count(), 1, "told once:\n{}", ran.err);
    assert_eq!(ran.err.matches("amlrun explain unknown-port").count(), 1, "{}", ran.err);
}

/// Documents of Azure ML that are neither jobs nor components nor assets, as MLOps repositories have them.
fn deployment() -> Project {
    let schema = |name: &str| format!("$schema: https://azuremlschemas.azureedge.net/latest/{name}.schema.json\n");
    Project::new()
        .with("train/job.yml", &format!("{}command: echo\nenvironment: azureml:e@latest\n", schema("commandJob")))
        .with("deploy/endpoint.yml", &format!("{}name: taxi\nauth_mode: key\n", schema("managedOnlineEndpoint")))
        .with(
            "deploy/blue.yml",
            &format!("{}name: blue\nendpoint_name: taxi\nmodel: azureml:m@latest\n", schema("managedOnlineDeployment")),
        )
        .with("deploy/green.yml", &format!("{}name: {{{{name}}}}\nendpoint_name: taxi\n", schema("batchDeployment")))
        .with("deploy/cpu.yml", "# yaml-language-server: $schema=https://azuremlschemas.azureedge.net/latest/amlCompute.schema.json\nname: cpu\ntype: amlcompute\n")
        .with("deploy/nightly.yml", "trigger: {type: cron, expression: '0 3 * * *'}\ncreate_job: ../train/job.yml\n")
        .with("features/set.yml", "$schema: http://azureml/sdk-2-0/FeatureSet.json\nname: f\nversion: '1'\n")
        .with("conda.yml", "name: e\ndependencies: [python]\n")
}

#[test]
fn documents_of_other_kinds_are_passed_over_and_counted() {
    let project = deployment();
    let ran = project.amlrun(&["validate", "."]).ended(0);
    let summary = "1 file: 1 accepted; 6 of other kinds skipped \
        (1 compute, 2 deployment, 1 endpoint, 1 feature set, 1 schedule); 1 file skipped";
    assert_eq!(ran.out, format!("train/job.yml: command with 1 step, accepted\n{summary}\n"));
    assert!(ran.err.is_empty(), "{}", ran.err);
    for target in ["local", "azure"] {
        project.amlrun(&["validate", ".", "--target", target]).ended(0);
    }
    let ran = project.amlrun(&["validate", "deploy"]).ended(0);
    assert!(ran.out.starts_with("nothing to check; 5 of other kinds skipped"), "{}", ran.out);
    let annotated = project.amlrun(&["validate", ".", "-o", "github"]).ended(0);
    assert_eq!((annotated.out.as_str(), annotated.err.trim_end()), ("", summary));

    let answer: Value = serde_json::from_str(&project.amlrun(&["validate", ".", "-o", "json"]).ended(0).out).unwrap();
    assert_eq!(answer["files"].as_array().unwrap().len(), 1);
    assert_eq!(answer["passed_over"][0], serde_json::json!({ "path": "deploy/blue.yml", "kind": "deployment" }));
}

#[test]
fn a_document_of_another_kind_is_passed_over_by_name_and_never_run() {
    let project = deployment();
    let ran = project.amlrun(&["validate", "deploy/endpoint.yml"]).ended(0);
    assert_eq!(ran.out, "deploy/endpoint.yml: endpoint, skipped: amlrun does not check it\n");
    for verb in ["run", "plan", "graph", "show"] {
        let ran = project.amlrun(&[verb, "deploy/endpoint.yml"]).ended(1);
        assert!(ran.err.contains("documents of the kind 'endpoint' are not supported"), "{verb}: {}", ran.err);
        assert_eq!(ran.err.matches("error[").count(), 1, "{verb}: {}", ran.err);
    }
}

#[test]
fn patterns_names_and_folders_go_together_and_a_file_is_checked_once() {
    let project = project();
    let ran = project.amlrun(&["validate", "pipelines/b.yml", "**/*.yaml", "pipelines", "-o", "json"]).ended(1);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    let paths: Vec<&str> = answer["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["pipelines/b.yml", "pipelines/a b.yaml", "pipelines/z/c.yml"]);
    let keys: Vec<&String> = answer["files"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["path", "kind", "accepted", "diagnostics", "environments"]);
    assert_eq!(answer["passed_over"], serde_json::json!([]));
    assert_eq!(answer["files"][1]["kind"], "pipeline");
    let named = project.amlrun(&["validate", "conda.yml"]).ended(1);
    assert!(named.err.contains("error["), "a named file is never passed over");
    for (pattern, said) in
        [("nope/*.yml", "no file matches"), ("*.toml", "no Azure ML document"), (".github", "no Azure ML document")]
    {
        let ran = project.amlrun(&["validate", pattern]).ended(3);
        assert!(ran.err.contains(said), "{pattern}: {}", ran.err);
    }
    project.amlrun(&["validate", "a[.yml*"]).ended(2);
    project.amlrun(&["validate", "pipelines/a b.yaml", "nope.yml"]).ended(3);
}

#[test]
fn a_file_whose_name_looks_like_a_pattern_is_that_file() {
    let project = Project::new().with("a[1].yml", &pipeline(&node("x", "true")));
    let ran = project.amlrun(&["validate", "a[1].yml", "--target", "local"]).ended(0);
    assert_eq!(ran.out.lines().next(), Some("a[1].yml: pipeline with 1 step, accepted"));
}

#[test]
fn github_gets_a_command_for_each_finding() {
    let project = project();
    let ran = project.amlrun(&["validate", "parts", "pipelines", "-o", "github"]).ended(1);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.out);
    assert_eq!(
        lines[0],
        "::error file=parts/train.yml,line=5,col=10,endLine=5,endColumn=14,title=unknown-port::the command uses the \
         input 'rat', but the component declares 'rate'%0Ahelp: write the same name in both places"
    );
    assert!(ran.err.starts_with("4 files: 1 accepted, 3 refused"), "{}", ran.err);
}

#[test]
fn sarif_is_well_formed() {
    let project = project();
    project.write("pipelines/y ü.yml", &pipeline(&node("a", "true")).replace("jobs:", "inputs: {n: 1, n: 2}\njobs:"));
    let ran = project.amlrun(&["validate", ".", "nope.yml", "--set", "a.b=1", "-o", "sarif"]).ended(3);
    let log: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let ids: Vec<&str> = rules.iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "unique: {ids:?}");
    for rule in rules {
        for text in [&rule["shortDescription"]["text"], &rule["help"]["text"], &rule["help"]["markdown"]] {
            assert!(text.as_str().is_some_and(|t| !t.is_empty()), "{rule}");
        }
    }
    let results = run["results"].as_array().unwrap();
    let mut prints = std::collections::BTreeSet::new();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(ids[index], result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        assert_eq!(result["locations"].as_array().unwrap().len(), 1);
        assert!(prints.insert(result["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap()));
        let related = result["relatedLocations"].as_array().map_or(&[][..], Vec::as_slice);
        for location in result["locations"].as_array().unwrap().iter().chain(related) {
            place_is_sound(&location["physicalLocation"]);
        }
    }
    let twice = results.iter().find(|r| r["ruleId"] == "duplicate-key").unwrap();
    assert_eq!(
        twice["locations"][0]["physicalLocation"]["artifactLocation"],
        serde_json::json!({ "uri": "pipelines/y%20%C3%BC.yml", "uriBaseId": "%SRCROOT%" })
    );
    assert_eq!(twice["relatedLocations"][0]["message"]["text"], "first defined here, and ignored");
    let missing = results.iter().find(|r| r["ruleId"] == "unreadable-file").unwrap();
    assert_eq!(missing["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "nope.yml");
    assert!(ran.err.is_empty(), "{}", ran.err);
}

/// A URI without characters that must be encoded, and a region that begins before it ends, counted from 1.
fn place_is_sound(place: &Value) {
    let uri = place["artifactLocation"]["uri"].as_str().unwrap();
    let sound = |c: char| c.is_ascii_alphanumeric() || "-._~/%:".contains(c);
    assert!(!uri.is_empty() && uri.chars().all(sound), "{uri}");
    let region = &place["region"];
    if region.is_null() {
        return;
    }
    let number = |key: &str| region[key].as_u64().unwrap();
    let (start, end) = ((number("startLine"), number("startColumn")), (number("endLine"), number("endColumn")));
    assert!(start.0 >= 1 && start.1 >= 1 && start < end, "{region}");
}

#[test]
fn a_fingerprint_outlives_lines_added_above() {
    let project = Project::new();
    let print = |text: &str| {
        project.write("job.yml", text);
        let log = project.amlrun(&["validate", "job.yml", "-o", "sarif"]).out;
        let log: Value = serde_json::from_str(&log).unwrap();
        log["runs"][0]["results"][0]["partialFingerprints"]["primaryLocationLineHash"].clone()
    };
    let text = "comand: x\ncommand: x\nenvironment: azureml:a:1\n";
    assert_eq!(print(text), print(&format!("# a comment\n\n{text}")));
    assert_ne!(print(text), print(&text.replace("comand", "commannd")));
}

#[test]
fn many_files_are_told_in_order() {
    let project = Project::new();
    for number in 0..60 {
        project.write(&format!("jobs/{number:02}.yml"), &pipeline(&node("x", "true")));
    }
    let ran = project.amlrun(&["validate", "jobs"]).ended(0);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines[..60].is_sorted(), "{}", ran.out);
    assert_eq!(lines[60], "60 files: 60 accepted");
}
