//! The routes of MLflow's REST API, one file per resource.
//!
//! A call is a plain function from arguments to JSON. It knows the store, but neither HTTP nor threads. Only the
//! artifact proxy is asynchronous, because it streams. Unknown routes answer ENDPOINT_NOT_FOUND: there are no stubs.
//! A new resource is a new file and a line in [`rest`].

pub(super) mod artifacts;
mod experiments;
mod logged_models;
mod metrics;
mod models;
mod records;
mod runs;
mod versions;

use super::route::Router;

/// Everything below `/api/2.0/mlflow`.
pub(super) fn rest() -> Router {
    Router::new()
        .merge(experiments::routes())
        .merge(runs::routes())
        .merge(metrics::routes())
        .merge(artifacts::routes())
        .merge(models::routes())
        .merge(versions::routes())
        .merge(logged_models::routes())
}
