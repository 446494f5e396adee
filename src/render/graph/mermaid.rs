//! Draws a graph for Mermaid, which GitHub renders in Markdown.

use std::fmt::Write as _;

use super::picture::{self, Gates, Place, words};
use crate::language::graph::Graph;

/// The graph in the language of Mermaid. Nested pipelines are subgraphs.
pub(crate) fn draw(graph: &Graph) -> String {
    let mut out = String::from("flowchart TD\n");
    let none = std::collections::HashSet::new();
    let gates = picture::gates(graph, &none, &none);
    frame(graph, &gates, "", 1, &mut out);
    out
}

/// The ports, nodes and edges of one graph.
fn frame(graph: &Graph, gates: &Gates<'_>, above: &str, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    for name in &gates.inputs {
        let id = id(&Place::Input(above.to_owned(), (*name).to_owned()));
        let _ = writeln!(out, "{indent}{id}([{}])", quote(&[(*name).to_owned()]));
    }
    for (node, inside) in graph.nodes.iter().zip(picture::boxes(graph)) {
        let path = picture::path(above, &node.name);
        let id = id(&Place::Node(path.clone()));
        let label = quote(&words(node));
        match (inside, node.kind.as_str()) {
            (Some((inside, gates)), _) => {
                let _ = writeln!(out, "{indent}subgraph {id}[{label}]");
                frame(inside, &gates, &path, depth + 1, out);
                let _ = writeln!(out, "{indent}end");
            }
            (None, "if_else") => {
                let _ = writeln!(out, "{indent}{id}{{{label}}}");
            }
            (None, "do_while" | "parallel_for") => {
                let _ = writeln!(out, "{indent}{id}{{{{{label}}}}}");
            }
            (None, _) => {
                let _ = writeln!(out, "{indent}{id}[{label}]");
            }
        }
    }
    for name in &gates.outputs {
        let id = id(&Place::Output(above.to_owned(), (*name).to_owned()));
        let _ = writeln!(out, "{indent}{id}([{}])", quote(&[(*name).to_owned()]));
    }
    for line in picture::lines(graph, above) {
        let arrow = if line.control { "-.->" } else { "-->" };
        let words = quote(&[line.words]);
        let _ = writeln!(out, "{indent}{} {arrow}|{words}| {}", id(&line.from), id(&line.to));
    }
}

/// A valid Mermaid id: letters, digits and `_`. The first letter is the kind of the place, so that no id is a keyword.
fn id(place: &Place) -> String {
    let plain = |text: &str| {
        let mut id = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                c if c.is_ascii_alphanumeric() || c == '_' => id.push(c),
                '.' => id.push_str("__"),
                c => {
                    let _ = write!(id, "_x{:x}_", u32::from(c));
                }
            }
        }
        id
    };
    match place {
        Place::Node(path) => format!("s_{}", plain(path)),
        Place::Input(above, port) => format!("i_{}", plain(&picture::path(above, port))),
        Place::Output(above, port) => format!("o_{}", plain(&picture::path(above, port))),
    }
}

/// Lines of text as Mermaid reads them: quoted, with markup characters as entities.
fn quote(lines: &[String]) -> String {
    let escaped = |line: &String| {
        let mut text = String::with_capacity(line.len());
        for c in line.chars() {
            match c {
                '"' => text.push_str("#quot;"),
                '<' => text.push_str("#lt;"),
                '>' => text.push_str("#gt;"),
                '&' => text.push_str("#amp;"),
                '#' | '`' | '|' | '\\' => {
                    let _ = write!(text, "#{};", u32::from(c));
                }
                '\n' | '\r' => text.push(' '),
                c => text.push(c),
            }
        }
        text
    };
    format!("\"{}\"", lines.iter().map(escaped).collect::<Vec<_>>().join("<br/>"))
}
