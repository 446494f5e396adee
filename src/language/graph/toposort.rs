//! The order in which nodes are listed: each after those that it waits for.

use std::collections::HashMap;

use super::model::{Edge, Link, Node};
use crate::toposort::Sorted;

/// Nodes with their edges in topological order. Among nodes that are ready at the same time, the one written first
/// comes first; nodes in cycles come last, as written.
pub(super) fn sorted(all: Vec<(Node, Vec<Edge>)>) -> Vec<(Node, Vec<Edge>)> {
    let names: HashMap<&str, usize> = all.iter().enumerate().map(|(i, (node, _))| (node.name.as_str(), i)).collect();
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); all.len()];
    for (_, edges) in &all {
        let body = edges.iter().find(|e| e.kind == Link::Body).map(|e| &e.to.node);
        for edge in edges {
            // What a loop reads from its own body is there in the next iteration, not before the first one.
            let later = edge.kind == Link::Next || edge.kind == Link::Condition && body == Some(&edge.from.node);
            let ends = edge.from.node.as_deref().zip(edge.to.node.as_deref()).filter(|_| !later);
            if let Some((from, to)) = ends.and_then(|(f, t)| Some((*names.get(f)?, *names.get(t)?))) {
                needs[to].push(from);
            }
        }
    }
    for wanted in &mut needs {
        wanted.sort_unstable();
        wanted.dedup();
    }
    let Sorted { order, stuck } = crate::toposort::sorted(&needs);
    let mut slots: Vec<Option<(Node, Vec<Edge>)>> = all.into_iter().map(Some).collect();
    order.into_iter().chain(stuck).filter_map(|n| slots[n].take()).collect()
}
