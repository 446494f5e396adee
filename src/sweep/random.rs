//! Independent random draws: each parameter of each trial has its own stream of random numbers.

use super::space::SearchSpace;
use super::stream::Stream;

/// The positions of a trial. A parameter's position depends on the seed, the trial's index and the parameter's path.
pub(super) fn positions(space: &SearchSpace, seed: u64, index: usize) -> Vec<f64> {
    space.parameters().iter().map(|parameter| Stream::new(seed, index, &parameter.path).uniform()).collect()
}
