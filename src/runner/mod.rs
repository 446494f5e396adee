//! Makes runs of job files: reads and plans a file against its workspace, decides what runs, and starts or resumes the run.
//!
//! [`project`] is where the modules are put together: a workspace, its registry, and documents planned against it.
//! [`run_plan`] is a plan with a decision for each step, [`session`] a run that was accepted, [`resume`] one that continues.
//! The command line gives [`options`] and shows what comes of them.

mod catalog;
pub(crate) mod environment;
pub(crate) mod job_names;
pub(crate) mod options;
pub(crate) mod partial_plan;
pub(crate) mod project;
pub(crate) mod resume;
pub(crate) mod run_plan;
mod services;
pub(crate) mod session;
pub(crate) mod stand_ins;
mod ticker;
