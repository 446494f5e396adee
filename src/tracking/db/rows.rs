//! Converts rows of the tables into MLflow's records.

use rusqlite::{Connection, Row};

use super::Trouble;
use crate::tracking::model::Metric;

/// The latest value of each metric of a run: the greatest by step, then time, then value.
pub(super) fn latest_metrics(db: &Connection, run_id: &str) -> Result<Vec<Metric>, Trouble> {
    let mut query =
        db.prepare_cached("SELECT key, value, timestamp, step, is_nan FROM latest_metrics WHERE run_uuid = ?1")?;
    Ok(query.query_map([run_id], metric)?.collect::<Result<_, _>>()?)
}

pub(super) fn metric(row: &Row<'_>) -> rusqlite::Result<Metric> {
    let value = if row.get(4)? { f64::NAN } else { row.get(1)? };
    Ok(Metric { key: row.get(0)?, value, timestamp: row.get(2)?, step: row.get(3)? })
}
