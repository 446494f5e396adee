//! Outputs that are values and not data: a step writes the text into a file, and the next one gets it as a literal
//! (reference, section 3.6).

use std::path::Path;

use super::Request;
use super::outputs::OutputTable;
use crate::plan::{Part, PortType, Value};

/// Longer values are refused, in bytes: they become part of a command line.
const LONGEST: u64 = 64 << 10;

/// The value in the file of an output, as the next step gets it.
///
/// # Errors
/// A sentence without its end, if the file cannot be read or does not hold a value of the type.
pub(super) fn read(path: &Path, kind: PortType) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("it cannot be read: {error}"))?.len();
    if size > LONGEST {
        return Err(format!("it is a {kind} of {size} bytes: write larger data to a uri_file"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let text = text.trim();
    let misfit = || format!("it is a {kind}, but the step wrote '{text}'");
    match kind {
        PortType::Boolean => boolean(text).map(|yes| if yes { "True" } else { "False" }.to_owned()).ok_or_else(misfit),
        PortType::Integer => text.parse::<i128>().map(|number| number.to_string()).map_err(|_| misfit()),
        PortType::Number => text.parse::<f64>().map(|_| text.to_owned()).map_err(|_| misfit()),
        _ => Ok(text.to_owned()),
    }
}

/// A text as a boolean.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "1.0" | "yes" | "on" => Some(true),
        "false" | "0" | "0.0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// The text of an output of another step that is a value. `None` if the output is data.
pub(super) fn of_output(
    step: usize,
    output: &str,
    request: &Request,
    output_table: &OutputTable,
) -> Option<Result<String, String>> {
    let producer = request.step(step);
    let kind = producer.outputs.iter().find(|o| o.name == output)?.kind;
    if kind.is_data() {
        return None;
    }
    let name = format!("the output '{output}' of '{}'", producer.path);
    Some(match output_table.output(step, output) {
        Some(info) => read(&request.paths.to_visible(&info.path), kind).map_err(|why| format!("{name}: {why}")),
        None => Err(format!("{name} was not written")),
    })
}

/// The text of a value whose outputs are there. Data is its content: a file with a value in it.
pub(super) fn text(value: &Value, request: &Request, output_table: &OutputTable) -> Result<String, String> {
    let texts = value.parts.iter().map(|part| match part {
        Part::Text(text) | Part::Secret(text) => Ok(text.clone()),
        Part::Path(path) => read(path, PortType::String),
        Part::Output { step, output } => of_output(*step, output, request, output_table).unwrap_or_else(|| {
            let info = output_table.output(*step, output).ok_or_else(|| format!("'{output}' was not written"))?;
            read(&request.paths.to_visible(&info.path), PortType::String)
        }),
        Part::Remote(_) | Part::Input(_) => Err("it is data on a server".to_owned()),
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_must_fit_its_type() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("v");
        let read = |text: &str, kind| {
            std::fs::write(&file, text).unwrap();
            read(&file, kind)
        };
        assert_eq!(read(" true\n", PortType::Boolean).as_deref(), Ok("True"));
        assert_eq!(read("0", PortType::Boolean).as_deref(), Ok("False"));
        assert_eq!(read("maybe", PortType::Boolean).unwrap_err(), "it is a boolean, but the step wrote 'maybe'");
        assert_eq!(read("007\n", PortType::Integer).as_deref(), Ok("7"));
        assert!(read("1.5", PortType::Integer).is_err());
        assert_eq!(read("1e-3\n", PortType::Number).as_deref(), Ok("1e-3"));
        assert_eq!(read("a b\n", PortType::String).as_deref(), Ok("a b"));
        assert!(read(&"x".repeat(70_000), PortType::String).unwrap_err().contains("uri_file"));
    }
}
