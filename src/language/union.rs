//! When no branch of a union fits: which one the author meant.
//!
//! The SDK shows the mistakes of every branch. Here the mistakes of one branch are shown: the branch with the written
//! `type`, the written fields or the form of the text. When no branch is the obvious one, one sentence names them all.

use super::cursor::{Cursor, Fault, last, wrong_type};
use super::grammar::{Shape, grammar};
use super::scalar;
use super::{case, describe};
use crate::diagnostic::Diagnostic;
use crate::yaml::{Kind, Node};

/// The mistakes to show after every branch has failed.
pub(super) fn branch(attempts: Vec<(&Shape, Fault)>, node: &Node, at: Cursor<'_>) -> Fault {
    match &node.kind {
        Kind::Mapping(_) => mapping(attempts, node, at),
        Kind::Sequence(_) => match attempts.iter().position(|(s, _)| matches!(bare(s), Shape::List(_))) {
            Some(list) => nth(attempts, list),
            None => all(&attempts, node, at),
        },
        Kind::Scalar(_) => scalar(attempts, node, at),
    }
}

fn bare(shape: &Shape) -> &Shape {
    match shape {
        Shape::Nullable(inner) => bare(inner),
        other => other,
    }
}

fn nth(mut attempts: Vec<(&Shape, Fault)>, index: usize) -> Fault {
    attempts.swap_remove(index).1
}

/// The class whose `type` (or `task`) is the one written; failing that the class with the fewest mistakes.
fn mapping(attempts: Vec<(&Shape, Fault)>, node: &Node, at: Cursor<'_>) -> Fault {
    let takes_mapping =
        |shape: &Shape| matches!(bare(shape), Shape::Class { .. } | Shape::Map { .. } | Shape::Free | Shape::Choice(_));
    let mut candidates: Vec<_> = attempts.iter().enumerate().filter(|(_, (s, _))| takes_mapping(s)).collect();
    if candidates.is_empty() {
        return all(&attempts, node, at);
    }
    for tag in ["type", "task"] {
        let Some(written) = node.get(tag) else { continue };
        let fits = |shape: &Shape| match tag_words(shape, tag) {
            Some(words) => written.as_str().is_some_and(|t| {
                words.contains(&t.to_lowercase())
                    || words.contains(&case::snake_case(t))
                    || words.iter().any(|w| w == t)
            }),
            None => false,
        };
        let matching: Vec<_> = candidates.iter().copied().filter(|(_, (s, _))| fits(s)).collect();
        if !matching.is_empty() {
            candidates = matching;
            continue;
        }
        let known: Vec<String> = candidates.iter().filter_map(|(_, (s, _))| tag_words(s, tag)).flatten().collect();
        if known.len() > 1 && !written.is_null() {
            return scalar::not_one_of(written, at.key(tag), &known).into();
        }
    }
    // A missing field weighs more than a wrong value: the author of `{min_value: x}` meant that class.
    let weight = |faults: &[Diagnostic]| -> usize {
        faults.iter().map(|f| if f.code == "missing-field" || f.code == "unknown-field" { 3 } else { 1 }).sum()
    };
    let best = candidates.iter().min_by_key(|(_, (_, fault))| weight(&fault.all)).map(|(i, _)| *i);
    match best {
        Some(index) => nth(attempts, index),
        None => all(&attempts, node, at),
    }
}

/// The words that a class's `type` may be.
fn tag_words(shape: &Shape, tag: &str) -> Option<Vec<String>> {
    let name = match bare(shape) {
        Shape::Class { name, .. } => name.as_str(),
        Shape::Choice(_) => "Choice",
        _ => return None,
    };
    match bare(&grammar().class(name).field(tag)?.shape) {
        Shape::Enum { words, .. } => Some(words.clone()),
        _ => None,
    }
}

/// A scalar has a form: `azureml:` means a reference, a path means a file, and so on.
fn scalar(attempts: Vec<(&Shape, Fault)>, node: &Node, at: Cursor<'_>) -> Fault {
    let find = |wanted: &dyn Fn(&Shape) -> bool| attempts.iter().position(|(s, _)| wanted(bare(s)));
    if let Some(text) = node.as_str() {
        let index = if text.starts_with("azureml://registries/") || text.starts_with("azureml://feeds/") {
            find(&|s| matches!(s, Shape::Registry(_)))
        } else if text.starts_with("azureml:") {
            find(&|s| matches!(s, Shape::Asset { .. })).or_else(|| find(&|s| matches!(s, Shape::Arm(_))))
        } else if let Some(file) = find(&|s| matches!(s, Shape::File(_))) {
            match text.starts_with("file:") {
                true => find(&|s| matches!(s, Shape::Class { .. })).or(Some(file)),
                false => Some(file),
            }
        } else if text.starts_with("file:") {
            find(&|s| matches!(s, Shape::Class { name, .. } if grammar().class(name).is("YamlFile")))
        } else if !text.contains("://") {
            find(&|s| *s == Shape::Path)
        } else {
            None
        };
        if let Some(index) = index {
            return nth(attempts, index);
        }
    }
    let scalars: Vec<usize> = (0..attempts.len())
        .filter(|i| {
            !matches!(
                bare(attempts[*i].0),
                Shape::Class { .. } | Shape::Map { .. } | Shape::List(_) | Shape::Free | Shape::Choice(_)
            )
        })
        .collect();
    match scalars.as_slice() {
        [one] if node.as_str().is_some() => nth(attempts, *one),
        _ => all(&attempts, node, at),
    }
}

/// One sentence with everything that is accepted.
fn all(attempts: &[(&Shape, Fault)], node: &Node, at: Cursor<'_>) -> Fault {
    let union = Shape::Union(attempts.iter().map(|(s, _)| bare(s).clone()).collect());
    let wanted = describe::shape(&union);
    let words: Vec<String> = attempts
        .iter()
        .filter_map(|(s, _)| match bare(s) {
            Shape::Enum { words, .. } => Some(words.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    let Some(text) = node.as_str() else { return wrong_type(node, at, &wanted).into() };
    let environment = attempts.iter().any(|(s, _)| matches!(s, Shape::Registry(k) if k == "environments"));
    let (code, message) = if environment {
        ("bad-environment", format!("'{}' is not a valid environment", describe::shortened(text)))
    } else if words.is_empty() {
        ("bad-reference", format!("'{}' is not {wanted}", describe::shortened(text)))
    } else {
        ("bad-value", format!("'{}' is not a valid value for '{}'", describe::shortened(text), last(at)))
    };
    let fault = Diagnostic::error(code, node.span, message).at(at.to_string());
    let fault = match crate::diagnostic::suggest::nearest(text, words.iter().map(String::as_str)) {
        Some(near) => fault.help(format!("did you mean '{near}'?")),
        None => fault.help(format!("write {wanted}")),
    };
    fault.into()
}
