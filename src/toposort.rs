//! Topological order: the order in which nodes with dependencies can run, and the nodes that are in a cycle or depend
//! on one.

/// The result. Nodes are indices into the given list.
#[derive(Debug, PartialEq, Eq)]
pub struct Sorted {
    /// Nodes that can run, each after its dependencies. Among nodes that are ready at the same time, the order of the
    /// given list is kept.
    pub order: Vec<usize>,
    /// Nodes in a cycle or that depend on one, in the order of the given list.
    pub stuck: Vec<usize>,
}

/// Sorts nodes by their dependencies. A node must not name a dependency twice.
#[must_use]
pub fn sorted(needs: &[Vec<usize>]) -> Sorted {
    let mut waits: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut dependants = vec![Vec::new(); needs.len()];
    for (node, wanted) in needs.iter().enumerate() {
        for &other in wanted {
            dependants[other].push(node);
        }
    }
    let mut free: std::collections::BTreeSet<usize> = (0..needs.len()).filter(|&n| waits[n] == 0).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(node) = free.pop_first() {
        order.push(node);
        for &next in &dependants[node] {
            waits[next] -= 1;
            if waits[next] == 0 {
                free.insert(next);
            }
        }
    }
    let stuck = (0..needs.len()).filter(|&n| waits[n] > 0).collect();
    Sorted { order, stuck }
}

/// An order of all nodes.
///
/// # Errors
/// The nodes of one cycle, in order. Each depends on the next.
pub fn order(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let sorted = sorted(needs);
    if sorted.stuck.is_empty() { Ok(sorted.order) } else { Err(cycle(needs, &sorted.stuck)) }
}

/// Every remaining node depends on another remaining one, so following the dependencies leads into a cycle.
fn cycle(needs: &[Vec<usize>], stuck: &[usize]) -> Vec<usize> {
    let Some(&start) = stuck.first() else { return Vec::new() };
    let mut walk = vec![start];
    loop {
        let here = walk[walk.len() - 1];
        let Some(&next) = needs[here].iter().find(|n| stuck.binary_search(n).is_ok()) else { return walk };
        if let Some(at) = walk.iter().position(|&n| n == next) {
            return walk.split_off(at);
        }
        walk.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cycle_is_named_in_its_order() {
        let found = order(&[vec![], vec![2, 0], vec![3], vec![1]]).unwrap_err();
        assert_eq!(found.len(), 3);
        assert!(found.windows(2).all(|w| [(1, 2), (2, 3), (3, 1)].contains(&(w[0], w[1]))));
    }

    #[test]
    fn a_self_reference_is_a_cycle_of_one() {
        assert_eq!(order(&[vec![0]]), Err(vec![0]));
    }

    proptest! {
        #[test]
        fn every_node_comes_after_its_needs(edges in prop::collection::vec((0usize..20, 0usize..20), 0..60)) {
            let mut needs = vec![Vec::new(); 20];
            for (a, b) in edges {
                if a > b && !needs[a].contains(&b) {
                    needs[a].push(b);
                }
            }
            let order = order(&needs).unwrap();
            prop_assert_eq!(order.len(), 20);
            let position = |n: usize| order.iter().position(|&x| x == n).unwrap();
            for (node, wanted) in needs.iter().enumerate() {
                for &other in wanted {
                    prop_assert!(position(other) < position(node));
                }
            }
        }

        #[test]
        fn a_reported_cycle_is_one(edges in prop::collection::vec((0usize..8, 0usize..8), 0..24)) {
            let mut needs = vec![Vec::new(); 8];
            for (a, b) in edges {
                if !needs[a].contains(&b) {
                    needs[a].push(b);
                }
            }
            if let Err(cycle) = order(&needs) {
                prop_assert!(!cycle.is_empty());
                for (i, &node) in cycle.iter().enumerate() {
                    prop_assert!(needs[node].contains(&cycle[(i + 1) % cycle.len()]));
                }
            }
        }
    }
}
