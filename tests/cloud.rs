//! Projects whose data is in Azurite, and what tests ask of their runs.

use std::path::Path;

use serde_json::Value;

use crate::azurite::{ACCOUNT, Azurite, KEY};
use crate::support::{Project, Ran};

/// A project that reaches the shared Azurite, with a container of its own that is also the datastore `credit`.
pub struct Cloud {
    pub project: Project,
    pub azurite: &'static Azurite,
    pub container: String,
}

impl Cloud {
    pub fn new(container: &str) -> Self {
        let azurite = Azurite::shared();
        azurite.container(container);
        let project = Project::new().with("amlrun.toml", &settings(azurite));
        let datastore = format!(
            "name: credit\ntype: azure_blob\naccount_name: {ACCOUNT}\ncontainer_name: {container}\nprotocol: http\n\
             endpoint: {}\n",
            azurite.address()
        );
        project.write("credit.yml", &datastore);
        let cloud = Self { project, azurite, container: container.to_owned() };
        cloud.amlrun(&["datastore", "create", "-f", "credit.yml"]).ended(0);
        cloud
    }

    pub fn amlrun(&self, arguments: &[&str]) -> Ran {
        let mut command = self.project.command(arguments);
        command.env("BLOB_KEY", KEY);
        Ran::of(command)
    }

    /// A run and its events.
    pub fn run(&self, name: &str) -> (Ran, Vec<Value>) {
        let ran = self.amlrun(&["run", "job.yml", "--name", name, "--output", "jsonl"]);
        let events = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (ran, events)
    }

    pub fn put(&self, blob: &str, text: &str) {
        self.azurite.put(&self.container, blob, text.as_bytes());
    }

    pub fn get(&self, blob: &str) -> String {
        String::from_utf8(self.azurite.get(&self.container, blob)).unwrap()
    }
}

pub fn settings(azurite: &Azurite) -> String {
    format!("[accounts.{ACCOUNT}]\nendpoint = \"{}\"\naccount_key = {{ env = \"BLOB_KEY\" }}\n", azurite.url())
}

/// How many bytes were moved, of inputs and of outputs.
pub fn moved(events: &[Value]) -> (u64, u64) {
    let of = |kind: &str| {
        let all = events.iter().filter(|e| e["event"] == kind);
        all.map(|e| e["moved_bytes"].as_u64().unwrap()).sum()
    };
    (of("data_fetched"), of("output_uploaded"))
}

pub fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|e| e["event"] == kind).count()
}

/// A command job with these inputs (`name: {…}` lines), outputs, and a command of one line.
pub fn job(command: &str, inputs: &str, outputs: &str) -> String {
    let lines = |text: &str| text.lines().map(|line| format!("  {}\n", line.trim())).collect::<String>();
    format!(
        "environment: azureml:any@latest\ncommand: {command:?}\ninputs:\n{}outputs:\n{}",
        lines(inputs),
        lines(outputs)
    )
}

/// Everything below a folder, names and contents, as one text.
pub fn everything(folder: &Path) -> String {
    let mut text = String::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        text += &path.display().to_string();
        match std::fs::read_dir(&path) {
            Ok(entries) => open.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => text += &String::from_utf8_lossy(&std::fs::read(&path).unwrap()),
        }
    }
    text
}
