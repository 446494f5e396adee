//! The routes `logged-models/…`: MLflow 3's models that are neither artifacts of a run nor registered. None are
//! stored yet: creating one answers ENDPOINT_NOT_FOUND, as on Azure ML.
//!
//! A search returns an empty list, because every 3.x client sends one before it reads any `runs:/` URI, and looks
//! among the run's artifacts only after a response.

use serde_json::{Value, json};

use crate::tracking::args::Args;
use crate::tracking::filter;
use crate::tracking::route::{Router, tell};
use crate::tracking::{Result, Tracking};

pub(super) fn routes() -> Router {
    Router::new().route("/logged-models/search", tell(search))
}

fn search(_: &Tracking, args: &Args) -> Result<Value> {
    args.texts("experiment_ids")?;
    filter::parse(args.maybe_text("filter")?.unwrap_or_default())?;
    Ok(json!({}))
}
