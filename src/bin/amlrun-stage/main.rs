//! `amlrun-stage`: the native stages train, persist, register and evaluate, on libtorch.
//!
//! To a runner it is an ordinary command such as `python train.py`: it uses files, environment variables and HTTP, and
//! must not know who started it. This is the only code in the package that names `tch`.
//!
//! Each stage has its own module ([`train`], [`persist`], [`register`], [`evaluate`]). They use these modules: [`data`]
//! and [`prepare`] (CSV to tensors), [`net`], [`scripted`] and [`optimizer`] (tensors), [`checkpoint`] (checkpoints of
//! training), [`imported_model`], [`stack`] and [`describe`] (models saved by Python), [`pyfunc`] (an MLflow model),
//! [`mlflow`], [`run`] and [`artifacts`] (the server), [`score`], [`report`], [`plot`] and [`require`] (results of an
//! evaluation), and [`progress`] (the only one that prints).

mod artifacts;
mod checkpoint;
mod cli;
mod data;
mod describe;
mod device;
mod error;
mod evaluate;
mod imported_model;
mod mlflow;
mod model_dir;
mod net;
mod optimizer;
mod persist;
mod plot;
mod prepare;
mod progress;
mod pyfunc;
mod register;
mod report;
mod require;
mod run;
mod score;
mod scripted;
mod settings;
mod stack;
mod subject;
mod train;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let outcome = match cli.stage {
        cli::Stage::Train(arguments) => train::train(&arguments),
        cli::Stage::Persist(arguments) => persist::persist(&arguments),
        cli::Stage::Register(arguments) => register::register(&arguments),
        cli::Stage::Evaluate(arguments) => evaluate::evaluate(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::error(&error);
            ExitCode::FAILURE
        }
    }
}
