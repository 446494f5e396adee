//! Makes runs from job files: reads a file, plans it against its workspace, decides which steps run, and starts or
//! resumes the run.
//! [`project`] puts the modules together: a workspace, its registry, and the documents planned against it. [`run_plan`]
//! is a plan with a decision for each step, [`session`] is an accepted run, and [`resume`] continues an existing run.
//! The command line passes [`options`] and shows the results.

mod catalog;
mod container_environment;
pub(crate) mod environments;
pub(crate) mod job_names;
pub(crate) mod local_environment;
pub(crate) mod options;
mod overlays;
pub(crate) mod partial_plan;
mod pinned_environments;
pub(crate) mod project;
pub(crate) mod resume;
pub(crate) mod run_plan;
mod services;
pub(crate) mod session;
pub(crate) mod substitutes;
pub(crate) mod tools;
