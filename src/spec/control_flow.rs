//! Conditions and loops in a pipeline (reference, section 2.12).

use super::Spanned;
use super::io::{self, Input};
use crate::language::value::{Data, Object, Value};
use crate::language::{body_name, port_name};
use crate::yaml::Literal;

/// A condition: one of two groups of nodes runs.
#[derive(Clone, Debug)]
pub struct IfElse {
    /// A boolean, or an expression that refers to one.
    pub condition: Spanned<Literal>,
    /// The names of the nodes that run if it is true.
    pub true_block: Vec<Spanned<String>>,
    /// The names of the nodes that run if it is false.
    pub false_block: Vec<Spanned<String>>,
}

/// A loop that repeats a node while a condition is true.
#[derive(Clone, Debug)]
pub struct DoWhile {
    /// The name of the node.
    pub body: Spanned<String>,
    /// The output that decides whether the loop goes on. Without one, it runs up to its limit.
    pub condition: Option<Spanned<String>>,
    /// Each output of the body with the inputs that get it in the next iteration.
    pub mapping: Vec<(String, Vec<String>)>,
    /// The most iterations.
    pub max_iterations: u32,
}

/// A loop that runs a node once for each item.
#[derive(Clone, Debug)]
pub struct ParallelFor {
    /// The name of the node.
    pub body: Spanned<String>,
    /// The items.
    pub items: Spanned<Items>,
    /// The most items at the same time.
    pub max_concurrency: Option<usize>,
}

/// The items of a loop.
#[derive(Clone, Debug)]
pub enum Items {
    /// Each with its name, if it has one, and the inputs that it gives.
    Written(Vec<(Option<String>, Vec<Input>)>),
    /// JSON, or an expression that leads to it.
    Text(String),
}

pub(super) fn if_else(node: &Object) -> Option<IfElse> {
    let condition = node.get("condition")?;
    Some(IfElse {
        condition: Spanned::new(condition.literal()?, condition.span),
        true_block: block(node, "true_block"),
        false_block: block(node, "false_block"),
    })
}

fn block(node: &Object, name: &str) -> Vec<Spanned<String>> {
    let values = match node.get(name) {
        Some(value) => value.list().map_or_else(|| vec![value], |all| all.iter().collect()),
        None => Vec::new(),
    };
    let name = |value: &Value| Some(Spanned::new(body_name(value.text()?)?.to_owned(), value.span));
    values.into_iter().filter_map(name).collect()
}

pub(super) fn do_while(node: &Object) -> Option<DoWhile> {
    let body = body(node)?;
    let condition = node
        .get("condition")
        .and_then(|value| Some(Spanned::new(port_name(value.text()?, &body.value, "outputs").to_owned(), value.span)));
    let inputs = |value: &Value| {
        let all = value.list().map_or_else(|| vec![value], |all| all.iter().collect());
        let texts = all.into_iter().filter_map(Value::text);
        texts.map(|text| port_name(text, &body.value, "inputs").to_owned()).collect::<Vec<_>>()
    };
    let mapping = node.map("mapping").iter();
    let mapping = mapping.map(|entry| (port_name(&entry.key, &body.value, "outputs").to_owned(), inputs(&entry.value)));
    let limits = node.get("limits")?.object()?;
    let max_iterations = limits.get("max_iteration_count")?.literal()?.python_str().parse().ok()?;
    Some(DoWhile { mapping: mapping.collect(), condition, body, max_iterations })
}

pub(super) fn parallel_for(node: &Object) -> Option<ParallelFor> {
    let items = node.get("items")?;
    let inputs = |value: &Value| io::inputs(value.map().unwrap_or_default());
    let written = match &items.data {
        Data::Text(text) => Items::Text(text.clone()),
        Data::List(all) => Items::Written(all.iter().map(|item| (None, inputs(item))).collect()),
        Data::Map(all) => {
            Items::Written(all.iter().map(|entry| (Some(entry.key.clone()), inputs(&entry.value))).collect())
        }
        _ => return None,
    };
    let max_concurrency = node.get("max_concurrency").and_then(Value::literal);
    Some(ParallelFor {
        body: body(node)?,
        items: Spanned::new(written, items.span),
        max_concurrency: max_concurrency.and_then(|count| count.python_str().parse().ok()).filter(|count| *count > 0),
    })
}

fn body(node: &Object) -> Option<Spanned<String>> {
    let value = node.get("body")?;
    let text = value.text()?;
    Some(Spanned::new(body_name(text).unwrap_or(text).to_owned(), value.span))
}
