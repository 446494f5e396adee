//! Outputs: what a node's are, which of the pipeline's they are bound to, and what they are registered as.

use std::collections::HashMap;

use super::bind::{self, suggest_or};
use super::{AssetName, JobOutput, StepOutput};
use crate::diagnostic::{Diagnostic, Span};
use crate::spec::expr::{Expr, Template};
use crate::spec::io::{Data, Output, OutputValue, PortType};
use crate::spec::job::{Node, PipelineJob, node::NodeBody};

/// Who writes which output of the pipeline.
pub(super) struct Writers<'a> {
    job: &'a PipelineJob,
    /// Pipeline output → (node index, the node's output, where it is bound).
    bound: HashMap<&'a str, (usize, String, Span)>,
}

impl<'a> Writers<'a> {
    pub(super) fn new(job: &'a PipelineJob) -> Self {
        Self { job, bound: HashMap::new() }
    }

    /// Binds a node's output to a pipeline output and returns what the pipeline says of that output.
    fn bind(
        &mut self,
        name: &str,
        node: usize,
        output: &str,
        span: Span,
        path: &str,
        found: &mut Vec<Diagnostic>,
    ) -> Option<&'a Data> {
        let Some(declared) = self.job.outputs.iter().find(|o| o.name.value == name) else {
            let known = self.job.outputs.iter().map(|o| o.name.value.as_str());
            let mistake =
                Diagnostic::error("unknown-port", span, format!("the pipeline has no output '{name}'")).at(path);
            found.push(suggest_or(mistake, name, known, "declare it under 'outputs:'"));
            return None;
        };
        if let Some((_, _, first)) = self.bound.get(name) {
            let message = format!("two nodes write the pipeline's output '{name}'");
            found.push(
                Diagnostic::error("two-writers", span, message)
                    .at(path)
                    .label(*first, "the first one")
                    .help("give each its own output of the pipeline"),
            );
        }
        self.bound.insert(&declared.name.value, (node, output.to_owned(), span));
        match &declared.value.value {
            OutputValue::Data(data) => Some(data),
            OutputValue::Binding(_) => None,
        }
    }

    /// The pipeline's outputs with who writes them.
    pub(super) fn finish(self, found: &mut Vec<Diagnostic>) -> Vec<JobOutput> {
        let mut outputs = Vec::new();
        for declared in &self.job.outputs {
            let name = &declared.name.value;
            let path = format!("outputs.{name}");
            if let OutputValue::Binding(text) = &declared.value.value {
                let message = format!("a pipeline's output cannot be a binding ('{text}')");
                let help = format!("bind it where it is written: <output>: ${{{{parent.outputs.{name}}}}}");
                found.push(Diagnostic::error("bad-expression", declared.value.span, message).at(path).help(help));
                continue;
            }
            match self.bound.get(name.as_str()) {
                Some((step, output, _)) => {
                    outputs.push(JobOutput { name: name.clone(), step: *step, output: output.clone() });
                }
                // A node that could not be read may be the one that writes it.
                None if !self.job.unread.is_empty() => {}
                None => found.push(
                    Diagnostic::warning("unbound-output", declared.name.span, format!("no node writes '{name}'"))
                        .at(path)
                        .help(format!("bind it in a node's outputs: <output>: ${{{{parent.outputs.{name}}}}}")),
                ),
            }
        }
        outputs
    }
}

/// The outputs of a node, as its component declares them and the node settles them.
pub(super) fn node_outputs(
    index: usize,
    node: &Node,
    writers: &mut Writers<'_>,
    path: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<StepOutput> {
    let declared = bind::output_names(node);
    for output in &node.outputs {
        let name = &output.name.value;
        if !declared.contains(&name.as_str()) {
            let message = format!("the component of '{}' has no output '{name}'", node.name.value);
            let at = format!("{path}.outputs.{name}");
            let mistake = Diagnostic::error("unknown-port", output.name.span, message).at(at);
            found.push(suggest_or(mistake, name, declared.iter().copied(), "Azure ML would drop it silently"));
        }
    }
    let mut outputs = Vec::new();
    for name in declared {
        let at = format!("{path}.outputs.{name}");
        let port_kind = bind::output_type(node, name).unwrap_or(PortType::UriFolder);
        let Some(said) = node.outputs.iter().find(|o| o.name.value == name) else {
            outputs.push(StepOutput { name: name.to_owned(), kind: port_kind, asset: None });
            continue;
        };
        match &said.value.value {
            OutputValue::Data(data) => {
                let kind = match &node.body {
                    NodeBody::Component(_) => Some(port_kind),
                    NodeBody::Inline(_) => data.kind,
                };
                outputs.push(step_output(said, data, kind, &at, found));
            }
            OutputValue::Binding(text) => match Template::binding(text).single() {
                Some(Expr::ParentOutput(target)) => {
                    let data = writers.bind(target, index, name, said.value.span, &at, found);
                    let kind = match &node.body {
                        NodeBody::Component(_) => port_kind,
                        NodeBody::Inline(_) => data.and_then(|d| d.kind).unwrap_or(PortType::UriFolder),
                    };
                    let nothing = Data::default();
                    outputs.push(step_output(said, data.unwrap_or(&nothing), Some(kind), &at, found));
                }
                _ => {
                    let message = format!("'{text}' is no binding for an output");
                    let help = "an output can be bound to the pipeline's: ${{parent.outputs.<name>}}";
                    found.push(Diagnostic::error("bad-expression", said.value.span, message).at(at).help(help));
                }
            },
        }
    }
    outputs
}

/// One output of a step.
pub(super) fn step_output(
    output: &Output,
    data: &Data,
    kind: Option<PortType>,
    path: &str,
    found: &mut Vec<Diagnostic>,
) -> StepOutput {
    if let Some(target) = &data.path {
        let message = format!("amlrun does not write outputs to a path of their own yet ('{}')", target.value);
        let help = "leave 'path' out: outputs are kept under .amlrun, see 'amlrun job download'";
        found.push(Diagnostic::error("not-yet", target.span, message).at(format!("{path}.path")).help(help));
    }
    let asset = data.name.as_ref().map(|name| AssetName { name: name.value.clone(), version: data.version.clone() });
    StepOutput { name: output.name.value.clone(), kind: kind.unwrap_or(PortType::UriFolder), asset }
}
