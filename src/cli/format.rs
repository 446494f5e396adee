//! The options `-o` and `--query`, as in `az`.

use serde_json::Value;

use super::printer::Printer;
use crate::error::Failed;
use crate::render::table::{self, Table, cell};

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// JSON
    #[default]
    Json,
    /// JSON with colours
    Jsonc,
    /// Table, as wide as the terminal, or else COLUMNS or 80 columns
    Table,
    /// Tab-separated values
    Tsv,
    /// YAML
    Yaml,
    /// No output
    None,
}

/// The two flags that every command with an answer has.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Format {
    /// Output format
    #[arg(
        short,
        long,
        value_enum,
        default_value = "json",
        env = "AMLRUN_OUTPUT",
        hide_env = true,
        overrides_with = "output"
    )]
    output: Output,

    /// JMESPath query on the output, for example status or "[].name"
    #[arg(long, value_name = "JMESPATH", overrides_with = "query")]
    query: Option<String>,
}

/// `-o` and `--query` of commands that answer people with a text of their own unless they are asked for something else.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct TextOr {
    /// Print the result in this format instead of text
    #[arg(short, long, value_enum, overrides_with = "output")]
    output: Option<Output>,

    /// JMESPath query on the output, for example kind or "tensors[].name"
    #[arg(long, value_name = "JMESPATH", overrides_with = "query")]
    query: Option<String>,
}

impl TextOr {
    /// The requested format. `None` means text.
    pub(super) fn asked(&self) -> Option<Format> {
        let asked = self.output.is_some() || self.query.is_some();
        asked.then(|| Format { output: self.output.unwrap_or_default(), query: self.query.clone() })
    }
}

impl Format {
    /// Checks the syntax of the query before the command runs.
    pub(super) fn check(&self) -> Result<(), Failed> {
        if let Some(query) = &self.query {
            jmespath::compile(query)
                .map_err(|e| Failed::usage(format!("--query is not a valid JMESPath expression: {e}")))?;
        }
        Ok(())
    }

    /// Prints a result.
    pub(super) fn print(&self, answer: Value, printer: &Printer) -> Result<(), Failed> {
        let answer = match &self.query {
            None => answer,
            Some(query) => ask(query, &answer)?,
        };
        let text = match self.output {
            Output::Json => json(&answer),
            Output::Jsonc if printer.paint().colour => coloured(&json(&answer)),
            Output::Jsonc => json(&answer),
            Output::Yaml => serde_yaml::to_string(&answer).unwrap_or_default(),
            Output::Tsv => tsv(&answer),
            Output::Table => self.table(&answer, printer),
            Output::None => String::new(),
        };
        printer.data(&text);
        Ok(())
    }

    fn table(&self, answer: &Value, printer: &Printer) -> String {
        let width = printer.columns();
        let Table { text, left_out } = table::table(answer, width, self.query.is_some());
        if !left_out.is_empty() {
            let names = left_out.join(", ");
            printer.err(&format!("note: not shown in {width} columns: {names}; use -o json to see everything\n"));
        }
        text
    }
}

fn ask(query: &str, answer: &Value) -> Result<Value, Failed> {
    let usage = |error: String| Failed::usage(format!("--query cannot be evaluated: {error}"));
    let compiled = jmespath::compile(query).map_err(|e| usage(e.to_string()))?;
    let data = jmespath::Variable::from_json(&answer.to_string()).map_err(usage)?;
    let found = compiled.search(data).map_err(|e| usage(e.to_string()))?;
    let answer = serde_json::from_str(&found.to_string()).map_err(|e| usage(e.to_string()))?;
    Ok(in_order(answer, &asked_names(query)))
}

/// The member names in a query, `{name: …, status: …}`, in order.
fn asked_names(query: &str) -> Vec<&str> {
    let ends = query.match_indices(':').map(|(at, _)| query[..at].trim_end());
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    ends.map(|before| before.trim_end_matches('"').rsplit(|c| !plain(c)).next().unwrap_or(""))
        .filter(|name| !name.is_empty())
        .collect()
}

/// The library returns members in alphabetical order, but scripts that read columns expect the order of the query.
fn in_order(answer: Value, names: &[&str]) -> Value {
    match answer {
        Value::Array(items) => Value::Array(items.into_iter().map(|item| in_order(item, names)).collect()),
        Value::Object(map) => {
            let mut members: Vec<_> = map.into_iter().map(|(k, v)| (k, in_order(v, names))).collect();
            members.sort_by_key(|(key, _)| names.iter().position(|n| n == key).unwrap_or(usize::MAX));
            Value::Object(members.into_iter().collect())
        }
        other => other,
    }
}

fn json(answer: &Value) -> String {
    let mut text = serde_json::to_string_pretty(answer).unwrap_or_default();
    text.push('\n');
    text
}

/// Colours keys blue and strings green. This works line by line, because pretty-printed JSON has one member on each
/// line.
fn coloured(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let body = line.trim_start();
        let indent = &line[..line.len() - body.len()];
        match body.split_once("\": ") {
            Some((key, value)) if key.starts_with('"') => {
                out.push_str(&format!("{indent}\x1b[34m{key}\"\x1b[0m: {}\n", hue(value)));
            }
            _ => out.push_str(&format!("{indent}{}\n", hue(body))),
        }
    }
    out
}

fn hue(value: &str) -> String {
    if value.starts_with('"') { format!("\x1b[32m{value}\x1b[0m") } else { value.to_owned() }
}

/// One row on each line: the values of an object, or a scalar itself. Booleans and null are written as in Python.
fn tsv(answer: &Value) -> String {
    let row = |value: &Value| match value {
        Value::Object(map) => map.values().map(cell).collect::<Vec<_>>().join("\t"),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join("\t"),
        other => cell(other),
    };
    match answer {
        Value::Null => String::new(),
        Value::Array(rows) => rows.iter().map(|r| row(r) + "\n").collect(),
        other => row(other) + "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn queries_answer_as_az_does() {
        let answer = json!([{"name": "a", "status": "Completed"}, {"name": "b", "status": "Failed"}]);
        assert_eq!(ask("[?status=='Failed'].name", &answer).unwrap(), json!(["b"]));
        assert!(ask("[", &answer).is_err());
    }

    #[test]
    fn columns_come_in_the_order_of_the_query() {
        let answer = json!([{"name": "a", "version": "1", "kind": "x"}]);
        let row = ask("[].{version: version, name: name, by:kind}", &answer).unwrap();
        assert_eq!(tsv(&row), "1\ta\tx\n");
    }

    #[test]
    fn tsv_is_for_scripts() {
        assert_eq!(tsv(&json!("Completed")), "Completed\n");
        assert_eq!(tsv(&json!([{"a": 1, "b": true}, {"a": null, "b": false}])), "1\tTrue\n\tFalse\n");
        assert_eq!(tsv(&Value::Null), "");
    }
}
