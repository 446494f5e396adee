//! A plan for people and for drawing programs: text, Graphviz DOT, Mermaid, JSON.

use std::fmt::Write as _;

use super::{Part, Plan, Step, Value};

/// The steps in running order with what each reads and gives.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} {}", plan.kind, plan.display_name.as_deref().unwrap_or(""));
    let width = plan.inputs.iter().map(|i| i.name.len()).max().unwrap_or(0);
    for input in &plan.inputs {
        let _ = writeln!(out, "  {:width$}  {} = {}", input.name, input.kind, show(plan, &input.value));
    }
    for (index, step) in plan.steps.iter().enumerate() {
        let last = index + 1 == plan.steps.len() && plan.outputs.is_empty();
        let (knee, bar) = if last { ("└─", "  ") } else { ("├─", "│ ") };
        let label = step.component.as_deref().map(|c| format!("  ({c})")).unwrap_or_default();
        let _ = writeln!(out, "{knee} {}{label}", step.path);
        for input in step.inputs.iter().filter(|i| i.kind.is_data()) {
            if let Some(value) = &input.value {
                let _ = writeln!(out, "{bar}    <- {} from {}", input.name, show(plan, value));
            }
        }
        for output in &step.outputs {
            let asset = output.asset.as_ref().map(|a| format!(", registered as {}", a.name)).unwrap_or_default();
            let _ = writeln!(out, "{bar}    -> {} ({}{asset})", output.name, output.kind);
        }
    }
    for (index, output) in plan.outputs.iter().enumerate() {
        let knee = if index + 1 == plan.outputs.len() { "└─" } else { "├─" };
        let _ = writeln!(out, "{knee} output {} = {}.{}", output.name, plan.steps[output.step].path, output.output);
    }
    out
}

fn show(plan: &Plan, value: &Value) -> String {
    value.render(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Path(path) => relative(path),
        Part::Output { step, output } => format!("{}.{output}", plan.steps[*step].path),
    })
}

fn relative(path: &std::path::Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// One edge for each output that a step reads: (from, output, to, input).
fn edges(plan: &Plan) -> Vec<(&Step, &str, &Step, &str)> {
    let mut all = Vec::new();
    for step in &plan.steps {
        for input in &step.inputs {
            for part in input.value.iter().flat_map(|v| &v.parts) {
                if let Part::Output { step: from, output } = part {
                    all.push((&plan.steps[*from], output.as_str(), step, input.name.as_str()));
                }
            }
        }
    }
    all
}

/// Graphviz: `amlrun graph FILE --format dot | dot -Tsvg`.
#[must_use]
pub fn dot(plan: &Plan) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut out = String::from("digraph pipeline {\n  rankdir=TB;\n  node [shape=box, style=rounded];\n");
    for step in &plan.steps {
        let _ = writeln!(out, "  {};", quote(&step.path));
    }
    for (from, output, to, input) in edges(plan) {
        let label = if output == input { output.to_owned() } else { format!("{output} -> {input}") };
        let _ = writeln!(out, "  {} -> {} [label={}];", quote(&from.path), quote(&to.path), quote(&label));
    }
    for output in &plan.outputs {
        let id = quote(&format!("output: {}", output.name));
        let _ = writeln!(out, "  {id} [shape=note];");
        let from = quote(&plan.steps[output.step].path);
        let _ = writeln!(out, "  {from} -> {id} [label={}];", quote(&output.output));
    }
    out.push_str("}\n");
    out
}

/// Mermaid, as Markdown on GitHub draws it.
#[must_use]
pub fn mermaid(plan: &Plan) -> String {
    let mut out = String::from("flowchart TD\n");
    let id = |path: &str| format!("s_{}", path.replace('.', "__"));
    for step in &plan.steps {
        let _ = writeln!(out, "  {}[\"{}\"]", id(&step.path), step.path);
    }
    for (from, output, to, input) in edges(plan) {
        let label = if output == input { output.to_owned() } else { format!("{output} → {input}") };
        let _ = writeln!(out, "  {} -->|\"{label}\"| {}", id(&from.path), id(&to.path));
    }
    for output in &plan.outputs {
        let from = id(&plan.steps[output.step].path);
        let _ = writeln!(out, "  {from} -->|\"{}\"| o_{}([\"{}\"])", output.output, output.name, output.name);
    }
    out
}
