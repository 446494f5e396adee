//! The order in which nodes are told: each after those that it waits for.

use std::collections::{BTreeSet, HashMap};

use super::{Edge, Link, Node};

/// Nodes with their edges in running order. Of those that are free at the same time the one written first comes first;
/// what is left in circles comes last, as written.
pub(super) fn sorted(all: Vec<(Node, Vec<Edge>)>) -> Vec<(Node, Vec<Edge>)> {
    let names: HashMap<&str, usize> = all.iter().enumerate().map(|(i, (node, _))| (node.name.as_str(), i)).collect();
    let mut after = vec![Vec::new(); all.len()];
    let mut waits = vec![0usize; all.len()];
    let mut needs: BTreeSet<(usize, usize)> = BTreeSet::new();
    for (_, edges) in &all {
        let body = edges.iter().find(|e| e.kind == Link::Body).map(|e| &e.to.node);
        for edge in edges {
            // What a loop sees of its own body comes with the next round, not before the first.
            let later = edge.kind == Link::Next || edge.kind == Link::Condition && body == Some(&edge.from.node);
            let ends = edge.from.node.as_deref().zip(edge.to.node.as_deref()).filter(|_| !later);
            if let Some((from, to)) = ends.and_then(|(f, t)| Some((*names.get(f)?, *names.get(t)?)))
                && needs.insert((from, to))
            {
                after[from].push(to);
                waits[to] += 1;
            }
        }
    }
    let mut free: BTreeSet<usize> = (0..all.len()).filter(|&n| waits[n] == 0).collect();
    let mut order = Vec::with_capacity(all.len());
    while let Some(node) = free.pop_first() {
        order.push(node);
        for &next in &after[node] {
            waits[next] -= 1;
            if waits[next] == 0 {
                free.insert(next);
            }
        }
    }
    order.extend((0..all.len()).filter(|&n| waits[n] > 0));
    let mut slots: Vec<Option<(Node, Vec<Edge>)>> = all.into_iter().map(Some).collect();
    order.into_iter().filter_map(|n| slots[n].take()).collect()
}
