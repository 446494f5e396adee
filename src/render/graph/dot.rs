//! Draws a graph for Graphviz: `amlrun graph FILE --format dot | dot -Tsvg`.

use std::fmt::Write as _;

use super::picture::{self, Gates, Place, words};
use crate::language::graph::Graph;

/// The graph in the DOT language. Nested pipelines are clusters.
pub(crate) fn draw(graph: &Graph) -> String {
    // `compound` lets an edge end at a cluster.
    let mut out =
        String::from("digraph pipeline {\n  rankdir=TB;\n  compound=true;\n  node [shape=box, style=rounded];\n");
    let none = std::collections::HashSet::new();
    let gates = picture::gates(graph, &none, &none);
    frame(graph, &gates, "", 1, &mut out);
    out.push_str("}\n");
    out
}

/// The ports, nodes and edges of one graph.
fn frame(graph: &Graph, gates: &Gates<'_>, above: &str, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    for name in &gates.inputs {
        let id = id(&Place::Input(above.to_owned(), (*name).to_owned()));
        let _ = writeln!(out, "{indent}{id} [shape=note, label={}];", quote(&format!("input: {name}")));
    }
    for (node, inside) in graph.nodes.iter().zip(picture::boxes(graph)) {
        let path = picture::path(above, &node.name);
        let label = quote(&words(node).join("\n"));
        if let Some((inside, gates)) = inside {
            let _ = writeln!(out, "{indent}subgraph {} {{", quote(&format!("cluster_{path}")));
            let _ = writeln!(out, "{indent}  label={label};");
            // Edges to the cluster as a whole need a point inside it.
            let _ = writeln!(out, "{indent}  {} [shape=point, style=invis];", quote(&path));
            frame(inside, &gates, &path, depth + 1, out);
            let _ = writeln!(out, "{indent}}}");
            continue;
        }
        let shape = match node.kind.as_str() {
            "if_else" => "shape=diamond, style=solid",
            "do_while" | "parallel_for" => "shape=hexagon, style=solid",
            _ => "",
        };
        let mut looks = Vec::new();
        if path != node.name || node.kind != "command" {
            looks.push(format!("label={label}"));
        }
        if !shape.is_empty() {
            looks.push(shape.to_owned());
        }
        let looks = if looks.is_empty() { String::new() } else { format!(" [{}]", looks.join(", ")) };
        let _ = writeln!(out, "{indent}{}{looks};", quote(&path));
    }
    for name in &gates.outputs {
        let id = id(&Place::Output(above.to_owned(), (*name).to_owned()));
        let _ = writeln!(out, "{indent}{id} [shape=note, label={}];", quote(&format!("output: {name}")));
    }
    let boxes: std::collections::HashSet<String> =
        graph.nodes.iter().filter(|n| n.inside.is_some()).map(|n| picture::path(above, &n.name)).collect();
    for line in picture::lines(graph, above) {
        let mut looks = vec![format!("label={}", quote(&line.words.replace('→', "->")))];
        if line.control {
            looks.push("style=dashed".to_owned());
        }
        for (place, key) in [(&line.from, "ltail"), (&line.to, "lhead")] {
            if let Place::Node(path) = place
                && boxes.contains(path)
            {
                looks.push(format!("{key}={}", quote(&format!("cluster_{path}"))));
            }
        }
        let _ = writeln!(out, "{indent}{} -> {} [{}];", id(&line.from), id(&line.to), looks.join(", "));
    }
}

fn id(place: &Place) -> String {
    quote(&match place {
        Place::Node(path) => path.clone(),
        Place::Input(above, port) => picture::path(above, &format!("input: {port}")),
        Place::Output(above, port) => picture::path(above, &format!("output: {port}")),
    })
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
