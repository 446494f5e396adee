//! The command of a Spark step: `spark-submit` with the step's script, on all cores of this machine.

use std::path::Path;

use super::{InputMode, StepInput};
use crate::diagnostic::Diagnostic;
use crate::spec::Spanned;
use crate::spec::component::CommandBody;
use crate::spec::spark::SparkBody;

/// Properties that a step has unless its author sets them. Tables are in the step's working directory, nothing listens
/// for browsers, and Spark's own messages do not hide what the script prints.
const DEFAULTS: [(&str, &str); 4] = [
    ("spark.log.level", "WARN"),
    ("spark.sql.warehouse.dir", "spark-warehouse"),
    ("spark.ui.enabled", "false"),
    ("spark.ui.showConsoleProgress", "false"),
];

/// Properties that choose a cluster. `spark-submit` gets this machine instead.
const OF_CLUSTERS: [&str; 2] = ["spark.master", "spark.submit.deployMode"];

/// What a Spark step runs. `name` is the name of the application, and `at` its place in the document.
pub(super) fn command(body: &SparkBody, name: &str, at: &str, found: &mut Vec<Diagnostic>) -> CommandBody {
    check_files(body, at, found);
    let set = |key: &str| body.conf.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    // `local[2]` is this machine, too.
    let master = set("spark.master").filter(|master| master.starts_with("local")).unwrap_or("local[*]");
    let mut words = vec!["spark-submit".to_owned(), "--master".to_owned(), word(master)];
    words.extend(["--name".to_owned(), word(name)]);
    let defaults = DEFAULTS.iter().filter(|(name, _)| set(name).is_none());
    let defaults = defaults.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let own = body.conf.iter().filter(|(name, _)| !OF_CLUSTERS.contains(&name.as_str())).cloned();
    for (name, value) in defaults.chain(own) {
        words.extend(["--conf".to_owned(), word(&format!("{name}={value}"))]);
    }
    for (option, files) in &body.files {
        let files: Vec<&str> = files.iter().map(|file| file.value.as_str()).collect();
        words.extend([(*option).to_owned(), word(&files.join(","))]);
    }
    words.push(word(&body.entry.value));
    // As on Azure ML they are words of a shell. A line break would end the command.
    words.extend(body.args.as_ref().map(|args| args.value.replace(['\r', '\n'], " ").trim().to_owned()));
    let text = words.join(" ").trim_end().to_owned();
    CommandBody { command: Spanned::new(text, body.command.command.span), ..body.command.clone() }
}

/// Spark's modes mean addresses, which a script on Azure ML reads over the network. Here it gets local paths, which Spark
/// and Python can read: remote data is fetched.
pub(super) fn read_locally(inputs: &mut [StepInput]) {
    for input in inputs.iter_mut().filter(|input| input.mode == InputMode::Direct) {
        input.mode = InputMode::RoMount;
    }
}

/// Reports files that are not in the code: Spark would say so a while later.
fn check_files(body: &SparkBody, at: &str, found: &mut Vec<Diagnostic>) {
    let under = |field: &str| if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") };
    let Some(code) = &body.command.code else {
        if body.command.remote_code.is_none() && !body.entry.value.contains(':') {
            let message = format!("the Spark step has no 'code', which is the folder of '{}'", body.entry.value);
            let missing = Diagnostic::error("missing-field", body.entry.span, message).at(under("code"));
            found.push(missing.help("add 'code' with the folder of the script, such as code: ./src"));
        }
        return;
    };
    // What is placed beside the code is not looked through.
    if !code.value.is_dir() || !body.command.includes.is_empty() {
        return;
    }
    for (option, files) in &body.files {
        let field = option.trim_start_matches('-').replace('-', "_");
        for file in files.iter().filter(|file| is_local(&file.value)) {
            // `archive.zip#name` is unpacked under that name.
            let name = file.value.split('#').next().unwrap_or_default();
            if !code.value.join(name).exists() {
                let message =
                    format!("'{name}' in '{field}' does not exist in the code folder {}", code.value.display());
                let missing = Diagnostic::error("missing-path", file.span, message).at(under(&field));
                found.push(missing.help("correct the path, which is relative to 'code'"));
            }
        }
    }
}

/// Whether a text is the path of one file: no address, pattern or expression.
fn is_local(text: &str) -> bool {
    !text.contains([':', '*', '?', '[', '{', '$', ',']) && Path::new(text).is_relative()
}

/// A text as one word of a shell.
fn word(text: &str) -> String {
    crate::again::word(Path::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Sources, Span};
    use crate::plan::PortType;
    use crate::spec::component::RunSettings;

    fn spanned(text: &str) -> Spanned<String> {
        let source = Sources::default().add(Path::new("job.yml"), "");
        Spanned::new(text.to_owned(), Span { source, line: 1, column: 1, end_line: 1, end_column: 1 })
    }

    fn body(conf: &[(&str, &str)]) -> SparkBody {
        let command = CommandBody {
            command: spanned(""),
            code: None,
            includes: Vec::new(),
            remote_code: None,
            environment: None,
            environment_variables: Vec::new(),
            settings: RunSettings::default(),
        };
        let conf = conf.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        SparkBody { entry: spanned("main.py"), args: None, conf, files: Vec::new(), command }
    }

    fn text(body: &SparkBody) -> String {
        command(body, "count", "", &mut Vec::new()).command.value
    }

    #[test]
    fn the_command_runs_the_script_on_this_machine() {
        let args = Some(spanned("--rows ${{inputs.rows}}\n--name 'a b'\n"));
        let files = vec![("--py-files", vec![spanned("a.py"), spanned("b c.zip")])];
        let body = SparkBody { args, files, ..body(&[("spark.driver.memory", "2g"), ("spark.app.x", "it's")]) };
        assert_eq!(
            text(&body),
            "spark-submit --master 'local[*]' --name count --conf spark.log.level=WARN --conf spark.sql.warehouse.dir=spark-warehouse \
             --conf spark.ui.enabled=false --conf spark.ui.showConsoleProgress=false --conf spark.driver.memory=2g \
             --conf 'spark.app.x=it'\\''s' --py-files 'a.py,b c.zip' main.py --rows ${{inputs.rows}} --name 'a b'"
        );
    }

    #[test]
    fn the_author_decides_about_defaults_and_about_local_masters_only() {
        let own = text(&body(&[("spark.ui.enabled", "true"), ("spark.master", "local[2]")]));
        assert!(own.contains("--master 'local[2]'") && own.contains("--conf spark.ui.enabled=true"), "{own}");
        assert!(!own.contains("enabled=false") && !own.contains("spark.master="), "{own}");
        let cluster = text(&body(&[("spark.master", "yarn"), ("spark.submit.deployMode", "cluster")]));
        assert!(cluster.contains("--master 'local[*]'") && !cluster.contains("cluster"), "{cluster}");
    }

    #[test]
    fn files_that_are_not_in_the_code_are_reported_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.py"), "").unwrap();
        let mut body = body(&[]);
        let places = ["a.py", "gone.zip", "gone.tar#env", "https://x/y.jar", "lib/*.jar"];
        body.files = vec![("--py-files", places.map(spanned).to_vec())];
        let found = |body: &SparkBody| {
            let mut found = Vec::new();
            command(body, "count", "jobs.count", &mut found);
            found.into_iter().map(|found| (found.code, found.path, found.message)).collect::<Vec<_>>()
        };
        assert_eq!(found(&body)[0].0, "missing-field", "there is no code");
        body.command.code = Some(Spanned::new(folder.path().to_owned(), spanned("").span));
        let found = found(&body);
        assert_eq!(found.iter().map(|found| found.0).collect::<Vec<_>>(), ["missing-path"; 2]);
        assert!(found[0].2.contains("'gone.zip' in 'py_files'") && found[1].2.contains("'gone.tar'"), "{found:?}");
        assert_eq!(found[0].1, "jobs.count.py_files");
    }

    #[test]
    fn inputs_are_local_paths() {
        let input = |mode| StepInput { name: "x".into(), kind: PortType::UriFile, mode, optional: false, value: None };
        let mut inputs = [input(InputMode::Direct), input(InputMode::Download)];
        read_locally(&mut inputs);
        assert_eq!(inputs.map(|input| input.mode), [InputMode::RoMount, InputMode::Download]);
    }
}
