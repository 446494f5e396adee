//! Decides which step may start: a pure state machine over in-degree counters.
//!
//! Callers report how steps end, and get the steps that can start and those that never will. There is no clock and no
//! process, so property tests drive it through random graphs and outcomes. Of the steps that can start, the one with
//! the longest path to an end of the graph comes first; among equals, the first one in the plan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Why a step will never start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// This step, on which it depends directly, did not complete.
    Needs(usize),
    /// This step failed first and the run does not continue after a failure.
    AfterFailure(usize),
    /// The run was canceled.
    Canceled,
}

/// A step as the schedule sees it.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The steps that it depends on; each is named once and has a smaller number.
    pub needs: Vec<usize>,
    /// Those of them that it can do without if they do not complete.
    pub optional: Vec<usize>,
    /// Whether it runs after all other steps are over, whatever their outcome.
    pub last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Over,
}

/// The state of all steps.
#[derive(Clone, Debug)]
pub struct Schedule {
    nodes: Vec<Node>,
    waits: Vec<usize>,
    dependants: Vec<Vec<usize>>,
    /// The number of steps on the longest path from each step to an end, including the step.
    way: Vec<usize>,
    states: Vec<State>,
    ready: BinaryHeap<(usize, Reverse<usize>)>,
    continue_on_failure: bool,
    /// Steps that are not over.
    open: usize,
    /// Those of them that do not run last.
    open_before_last: usize,
}

impl Schedule {
    /// A schedule for these steps.
    #[must_use]
    pub fn new(nodes: Vec<Node>, continue_on_failure: bool) -> Self {
        let count = nodes.len();
        let mut dependants = vec![Vec::new(); count];
        for (step, node) in nodes.iter().enumerate() {
            for &other in &node.needs {
                dependants[other].push(step);
            }
        }
        let mut way = vec![1; count];
        for step in (0..count).rev() {
            way[step] += dependants[step].iter().map(|&d: &usize| way[d]).max().unwrap_or(0);
        }
        let before_last = nodes.iter().filter(|n| !n.last).count();
        let mut schedule = Self {
            waits: nodes.iter().map(|n| n.needs.len()).collect(),
            nodes,
            dependants,
            way,
            states: vec![State::Waiting; count],
            ready: BinaryHeap::new(),
            continue_on_failure,
            open: count,
            open_before_last: before_last,
        };
        (0..count).for_each(|step| schedule.offer(step));
        schedule
    }

    /// Adds steps that a running step makes, after all others. They may need steps that completed, and each other.
    /// They come before what waits for their parent.
    pub fn add(&mut self, parent: usize, nodes: Vec<Node>) {
        let first = self.nodes.len();
        for (step, node) in (first..).zip(&nodes) {
            let open = |need: &&usize| **need >= first || self.states[**need] != State::Over;
            self.waits.push(node.needs.iter().filter(open).count());
            self.dependants.push(Vec::new());
            for &need in &node.needs {
                self.dependants[need].push(step);
            }
        }
        self.states.resize(first + nodes.len(), State::Waiting);
        self.open += nodes.len();
        self.open_before_last += nodes.iter().filter(|node| !node.last).count();
        self.way.resize(first + nodes.len(), 1 + self.way[parent]);
        for step in (first..first + nodes.len()).rev() {
            self.way[step] += self.dependants[step].iter().map(|&d| self.way[d] - self.way[parent]).max().unwrap_or(0);
        }
        self.nodes.extend(nodes);
        (first..self.nodes.len()).for_each(|step| self.offer(step));
    }

    /// The next step that can start, without starting it.
    pub fn peek(&mut self) -> Option<usize> {
        while let Some(&(_, Reverse(step))) = self.ready.peek() {
            if self.states[step] == State::Waiting {
                return Some(step);
            }
            self.ready.pop();
        }
        None
    }

    /// The next step that can start. It then counts as running.
    #[expect(clippy::should_implement_trait, reason = "it is not an iterator: more may come after None")]
    pub fn next(&mut self) -> Option<usize> {
        let step = self.peek()?;
        self.states[step] = State::Running;
        Some(step)
    }

    /// Reports that a step completed: it ran, or its result was reused.
    pub fn completed(&mut self, step: usize) {
        self.over(step);
        for next in self.dependants[step].clone() {
            self.waits[next] -= 1;
            self.offer(next);
        }
    }

    /// Reports that a running step failed. Returns the steps that can never start now, each once.
    pub fn failed(&mut self, step: usize) -> Vec<(usize, Skip)> {
        self.over(step);
        let mut skipped = Vec::new();
        self.skip_dependants(step, &mut skipped);
        if !self.continue_on_failure {
            self.skip_rest(Skip::AfterFailure(step), false, &mut skipped);
        }
        skipped
    }

    /// Reports that a step is skipped, or that a step which its parent added failed. Steps that depend on it never start.
    /// The run does not fail because of it.
    pub fn left_out(&mut self, step: usize) -> Vec<(usize, Skip)> {
        self.over(step);
        let mut skipped = Vec::new();
        self.skip_dependants(step, &mut skipped);
        skipped
    }

    /// Prevents all further starts. Returns the steps that will never start.
    pub fn stop(&mut self) -> Vec<(usize, Skip)> {
        let mut skipped = Vec::new();
        self.skip_rest(Skip::Canceled, true, &mut skipped);
        skipped
    }

    /// Whether a step is neither running nor over.
    #[must_use]
    pub fn is_waiting(&self, step: usize) -> bool {
        self.states[step] == State::Waiting
    }

    /// Whether every step is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.open == 0
    }

    fn offer(&mut self, step: usize) {
        let turn = !self.nodes[step].last || self.open_before_last == 0;
        if self.states[step] == State::Waiting && self.waits[step] == 0 && turn {
            self.ready.push((self.way[step], Reverse(step)));
        }
    }

    fn over(&mut self, step: usize) {
        self.states[step] = State::Over;
        self.open -= 1;
        if !self.nodes[step].last {
            self.open_before_last -= 1;
            if self.open_before_last == 0 {
                let last = (0..self.nodes.len()).filter(|&s| self.nodes[s].last).collect::<Vec<_>>();
                last.into_iter().for_each(|step| self.offer(step));
            }
        }
    }

    fn skip_dependants(&mut self, step: usize, skipped: &mut Vec<(usize, Skip)>) {
        let mut failed = vec![step];
        while let Some(cause) = failed.pop() {
            for next in self.dependants[cause].clone() {
                if self.states[next] != State::Waiting {
                    continue;
                }
                if self.nodes[next].optional.contains(&cause) {
                    self.waits[next] -= 1;
                    self.offer(next);
                } else {
                    self.over(next);
                    skipped.push((next, Skip::Needs(cause)));
                    failed.push(next);
                }
            }
        }
    }

    fn skip_rest(&mut self, why: Skip, last_too: bool, skipped: &mut Vec<(usize, Skip)>) {
        for step in 0..self.states.len() {
            if self.states[step] == State::Waiting && (last_too || !self.nodes[step].last) {
                self.over(step);
                skipped.push((step, why));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(needs: &[Vec<usize>], continue_on_failure: bool) -> Schedule {
        let nodes = needs.iter().map(|n| Node { needs: n.clone(), ..Node::default() }).collect();
        Schedule::new(nodes, continue_on_failure)
    }

    #[test]
    fn the_longest_way_comes_first() {
        // 0 alone; 1 -> 2 -> 3
        let mut schedule = schedule(&[vec![], vec![], vec![1], vec![2]], true);
        assert_eq!((schedule.next(), schedule.next(), schedule.next()), (Some(1), Some(0), None));
    }

    #[test]
    fn a_step_runs_without_an_optional_input_whose_step_failed() {
        let nodes = vec![Node::default(), Node { needs: vec![0], optional: vec![0], last: false }];
        let mut schedule = Schedule::new(nodes, true);
        assert_eq!(schedule.next(), Some(0));
        assert_eq!(schedule.failed(0), []);
        assert_eq!(schedule.next(), Some(1));
    }

    #[test]
    fn the_last_step_runs_after_all_others_whatever_became_of_them() {
        let last = Node { last: true, ..Node::default() };
        let mut schedule =
            Schedule::new(vec![last, Node::default(), Node { needs: vec![1], ..Node::default() }], false);
        assert_eq!((schedule.next(), schedule.next()), (Some(1), None));
        assert_eq!(schedule.failed(1), [(2, Skip::Needs(1))]);
        assert_eq!(schedule.next(), Some(0));
        schedule.completed(0);
        assert!(schedule.is_done());
    }

    #[test]
    fn a_failure_skips_what_needs_it_and_spares_the_rest() {
        // 0 -> 1 -> 2, and 3 on its own
        let mut schedule = schedule(&[vec![], vec![0], vec![1], vec![]], true);
        assert_eq!((schedule.next(), schedule.next(), schedule.next()), (Some(0), Some(3), None));
        assert_eq!(schedule.failed(0), [(1, Skip::Needs(0)), (2, Skip::Needs(1))]);
        assert!(!schedule.is_done());
        schedule.completed(3);
        assert!(schedule.is_done());
    }

    #[test]
    fn without_continue_a_failure_ends_everything_that_waits() {
        let mut schedule = schedule(&[vec![], vec![0], vec![], vec![2]], false);
        assert_eq!((schedule.next(), schedule.next()), (Some(0), Some(2)));
        assert_eq!(schedule.failed(0), [(1, Skip::Needs(0)), (3, Skip::AfterFailure(0))]);
        schedule.completed(2);
        assert!(schedule.is_done());
    }

    #[test]
    fn steps_that_are_added_run_before_what_waits_for_their_parent() {
        // 0 -> 1; 0 adds 2 -> 3
        let mut schedule = schedule(&[vec![], vec![0]], true);
        assert_eq!(schedule.next(), Some(0));
        schedule.add(0, vec![Node::default(), Node { needs: vec![2], ..Node::default() }]);
        assert_eq!((schedule.next(), schedule.next()), (Some(2), None));
        schedule.completed(2);
        assert_eq!((schedule.next(), schedule.next()), (Some(3), None));
        assert_eq!(schedule.left_out(3), []);
        assert!(!schedule.is_done());
        schedule.completed(0);
        assert_eq!(schedule.next(), Some(1));
        schedule.completed(1);
        assert!(schedule.is_done());
    }

    proptest! {
        /// For every graph, all outcomes and every order of endings: each step ends exactly once, no step starts
        /// before the steps that it needs completed, and the schedule comes to its end.
        #[test]
        fn every_step_ends_once_and_in_order(
            edges in prop::collection::vec((0usize..12, 0usize..12), 0..40),
            fails in prop::collection::vec(any::<bool>(), 12),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 12),
            width in 1usize..5,
            continue_on_failure: bool,
        ) {
            let mut needs = vec![Vec::new(); 12];
            for (a, b) in edges {
                if a > b && !needs[a].contains(&b) { needs[a].push(b); }
            }
            let mut schedule = schedule(&needs, continue_on_failure);
            let (mut running, mut completed, mut ended) = (Vec::new(), Vec::new(), Vec::new());
            let mut picks = picks.into_iter();
            loop {
                while running.len() < width {
                    let Some(step) = schedule.next() else { break };
                    prop_assert!(needs[step].iter().all(|n| completed.contains(n)));
                    running.push(step);
                }
                if running.is_empty() { break; }
                let at = picks.next().map_or(0, |p| p.index(running.len()));
                let step = running.swap_remove(at);
                ended.push(step);
                if fails[step] {
                    ended.extend(schedule.failed(step).into_iter().map(|(s, _)| s));
                } else {
                    completed.push(step);
                    schedule.completed(step);
                }
            }
            prop_assert!(schedule.is_done());
            ended.sort_unstable();
            prop_assert_eq!(ended, (0..12).collect::<Vec<_>>());
        }
    }
}
