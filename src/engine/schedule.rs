//! Which step may start: a pure state machine over in-degree counters.
//!
//! It is told how steps end and answers what can start and what never will. No clock, no process: property tests drive
//! it through random graphs and outcomes.

use std::collections::BTreeSet;

/// Why a step will never start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// This step, which it needs directly, did not complete.
    Needs(usize),
    /// This step failed first and the run does not continue after a failure.
    AfterFailure(usize),
    /// The run was canceled.
    Canceled,
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
    waits: Vec<usize>,
    dependants: Vec<Vec<usize>>,
    states: Vec<State>,
    ready: BTreeSet<usize>,
    continue_on_failure: bool,
    open: usize,
}

impl Schedule {
    /// A schedule for steps that need the steps listed for each. The lists hold no index twice.
    #[must_use]
    pub fn new(needs: &[Vec<usize>], continue_on_failure: bool) -> Self {
        let mut dependants = vec![Vec::new(); needs.len()];
        for (step, wanted) in needs.iter().enumerate() {
            for &other in wanted {
                dependants[other].push(step);
            }
        }
        let waits: Vec<usize> = needs.iter().map(Vec::len).collect();
        let ready = (0..needs.len()).filter(|&s| waits[s] == 0).collect();
        let states = vec![State::Waiting; needs.len()];
        Self { waits, dependants, states, ready, continue_on_failure, open: needs.len() }
    }

    /// The next step that can start, which then counts as running. Steps come in the order of the plan.
    #[expect(clippy::should_implement_trait, reason = "it is not an iterator: more may come after None")]
    pub fn next(&mut self) -> Option<usize> {
        let step = self.ready.pop_first()?;
        self.states[step] = State::Running;
        Some(step)
    }

    /// Tells that a running step completed.
    pub fn completed(&mut self, step: usize) {
        self.over(step);
        for next in self.dependants[step].clone() {
            self.waits[next] -= 1;
            if self.waits[next] == 0 && self.states[next] == State::Waiting {
                self.ready.insert(next);
            }
        }
    }

    /// Tells that a running step failed. Returns the steps that will never start now, each once.
    pub fn failed(&mut self, step: usize) -> Vec<(usize, Skip)> {
        self.over(step);
        let mut skipped = Vec::new();
        self.skip_dependants(step, &mut skipped);
        if !self.continue_on_failure {
            self.skip_rest(Skip::AfterFailure(step), &mut skipped);
        }
        skipped
    }

    /// Nothing more may start. Returns the steps that never will.
    pub fn stop(&mut self) -> Vec<(usize, Skip)> {
        let mut skipped = Vec::new();
        self.skip_rest(Skip::Canceled, &mut skipped);
        skipped
    }

    /// Whether every step is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.open == 0
    }

    fn over(&mut self, step: usize) {
        self.states[step] = State::Over;
        self.ready.remove(&step);
        self.open -= 1;
    }

    fn skip_dependants(&mut self, step: usize, skipped: &mut Vec<(usize, Skip)>) {
        let mut failed = vec![step];
        while let Some(cause) = failed.pop() {
            for next in self.dependants[cause].clone() {
                if self.states[next] == State::Waiting {
                    self.over(next);
                    skipped.push((next, Skip::Needs(cause)));
                    failed.push(next);
                }
            }
        }
    }

    fn skip_rest(&mut self, why: Skip, skipped: &mut Vec<(usize, Skip)>) {
        for step in 0..self.states.len() {
            if self.states[step] == State::Waiting {
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

    #[test]
    fn a_failure_skips_what_needs_it_and_spares_the_rest() {
        // 0 -> 1 -> 2, and 3 on its own
        let mut schedule = Schedule::new(&[vec![], vec![0], vec![1], vec![]], true);
        assert_eq!((schedule.next(), schedule.next(), schedule.next()), (Some(0), Some(3), None));
        assert_eq!(schedule.failed(0), [(1, Skip::Needs(0)), (2, Skip::Needs(1))]);
        assert!(!schedule.is_done());
        schedule.completed(3);
        assert!(schedule.is_done());
    }

    #[test]
    fn without_continue_a_failure_ends_everything_that_waits() {
        let mut schedule = Schedule::new(&[vec![], vec![0], vec![], vec![2]], false);
        assert_eq!((schedule.next(), schedule.next()), (Some(0), Some(2)));
        assert_eq!(schedule.failed(0), [(1, Skip::Needs(0)), (3, Skip::AfterFailure(0))]);
        schedule.completed(2);
        assert!(schedule.is_done());
    }

    proptest! {
        /// Whatever the graph, the outcomes and the order of endings: every step ends exactly once, none starts before
        /// its needs completed, and the schedule comes to its end.
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
            let mut schedule = Schedule::new(&needs, continue_on_failure);
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
