//! The mathematics of sweeps: which trial comes next, which trial stops early, and which trial is the best.
//!
//! [`SearchSpace`] says what can be drawn, [`propose`] draws the [`Assignment`] of a trial, [`should_stop`] decides about
//! a running trial, and [`score`] ranks trials. Everything here is a function of its arguments: the module must not know
//! about YAML, files, clocks and processes, and it keeps no state. `spec` reads sweeps into these types, and `engine` runs
//! them.
//!
//! Draws are the same on every machine: random bits come from BLAKE3, and logarithms and the like from `libm`, because
//! those of the system differ in the last digit between platforms.

mod assignment;
mod bayesian;
mod check;
mod grid;
mod normal;
mod objective;
mod random;
mod real;
mod sampler;
#[cfg(test)]
mod samples;
mod sobol;
mod space;
mod stopping;
mod stream;
mod trial;

pub use assignment::{Assignment, Drawn, Scalar};
pub use check::{Level, Problem};
pub use objective::{Goal, Objective, better, score};
pub use sampler::{Algorithm, Rule, propose};
pub use space::{Choice, Distribution, SearchSpace};
pub use stopping::{EarlyTermination, Policy, should_stop};
pub use trial::Trial;
