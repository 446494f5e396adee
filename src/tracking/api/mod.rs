//! The routes of MLflow's REST API, one file per resource.
//!
//! A call is a plain function from arguments to JSON; it knows the store, but neither HTTP nor threads. Only the
//! artifact proxy is asynchronous, because it streams. What is not here answers ENDPOINT_NOT_FOUND: there are no stubs. A new resource is a new file and a line in [`rest`].

pub(super) mod artifacts;
mod experiments;
mod logged_models;
mod metrics;
mod models;
mod runs;
mod versions;

use super::Result;
use super::compare::Found;
use super::filter::{Comparison, Field};
use super::server::Router;

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

/// Keeps the records for which every comparison holds.
fn keep<T>(
    records: Vec<T>,
    filter: &[Comparison],
    find: impl Fn(&T, &Field) -> Result<Option<Found>>,
) -> Result<Vec<T>> {
    let mut kept = Vec::new();
    'records: for record in records {
        for comparison in filter {
            if !comparison.holds(find(&record, &comparison.field)?)? {
                continue 'records;
            }
        }
        kept.push(record);
    }
    Ok(kept)
}

/// Sorts records by `order_by`; the sort is stable, so the given order decides between equals. Missing values are last.
fn sort<T>(records: &mut [T], order_by: &[&str], find: impl Fn(&T, &Field) -> Result<Option<Found>>) -> Result<()> {
    use std::cmp::Ordering;
    super::filter::check_orders(order_by)?;
    for text in order_by.iter().rev() {
        let order = super::filter::parse_order(text)?;
        let mut failed = None;
        let mut value = |record: &T| {
            find(record, &order.field).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        };
        records.sort_by(|a, b| {
            let ordering = match (value(a), value(b)) {
                (None, None) => return Ordering::Equal,
                (None, Some(_)) => return Ordering::Greater,
                (Some(_), None) => return Ordering::Less,
                (Some(Found::Number(a)), Some(Found::Number(b))) => a.total_cmp(&b),
                (Some(Found::Text(a)), Some(Found::Text(b))) => a.cmp(&b),
                _ => Ordering::Equal,
            };
            if order.descending { ordering.reverse() } else { ordering }
        });
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(())
}
