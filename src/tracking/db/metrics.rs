//! The data that runs log: metrics with their history, parameters, batches of tags.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::rows::metric;
use super::runs::{require_active, set_tag};
use super::{Db, Trouble};
use crate::tracking::error::{Result, TrackingError};
use crate::tracking::model::{Metric, Page, Param, Span, Tag, shorten};

/// The longest value of a parameter, in characters. Longer ones are truncated, as in MLflow.
const LONGEST_PARAM: usize = 6000;

/// The data of one request, written in one transaction.
#[derive(Default)]
pub(in crate::tracking) struct Batch {
    pub(in crate::tracking) metrics: Vec<Metric>,
    pub(in crate::tracking) params: Vec<Param>,
    pub(in crate::tracking) tags: Vec<Tag>,
}

impl Db {
    pub(in crate::tracking) fn log(&self, run_id: &str, batch: &Batch) -> Result<()> {
        self.write(|db| {
            require_active(db, run_id)?;
            for param in &batch.params {
                log_param(db, run_id, param)?;
            }
            log_metrics(db, run_id, &batch.metrics)?;
            for tag in &batch.tags {
                set_tag(db, run_id, tag)?;
            }
            Ok(())
        })
    }

    /// The values of one metric, sorted by time. Without a span, all of them.
    pub(in crate::tracking) fn history(&self, run_id: &str, key: &str, span: Option<Span>) -> Result<Page<Metric>> {
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ?1 AND key = ?2
                 ORDER BY timestamp, step, value LIMIT ?3 OFFSET ?4",
            )?;
            let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            let (limit, offset) = span.map_or((-1, 0), |s| (count(s.limit.saturating_add(1)), count(s.offset)));
            let metrics = query.query_map(params![run_id, key, limit, offset], metric)?;
            let metrics = metrics.collect::<Result<Vec<_>, _>>()?;
            Ok(match span {
                Some(span) => span.page(metrics),
                None => Page { items: metrics, next: None },
            })
        })
    }
}

fn log_metrics(db: &Connection, run_id: &str, metrics: &[Metric]) -> Result<(), Trouble> {
    // Prepared once for a batch: looking up a statement costs as much as running it.
    let mut all = db.prepare_cached(
        "INSERT OR IGNORE INTO metrics (run_uuid, key, timestamp, step, value, is_nan) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut latest = db.prepare_cached(
        "INSERT INTO latest_metrics (run_uuid, key, timestamp, step, value, is_nan) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET timestamp = excluded.timestamp, step = excluded.step, value = excluded.value,
             is_nan = excluded.is_nan
         WHERE (excluded.step, excluded.timestamp, excluded.value) >= (step, timestamp, value)",
    )?;
    let put = |statement: &mut CachedStatement<'_>, metric: &Metric| {
        let value = if metric.value.is_nan() { 0.0 } else { metric.value.clamp(f64::MIN, f64::MAX) };
        statement.execute(params![run_id, metric.key, metric.timestamp, metric.step, value, metric.value.is_nan()])
    };
    for metric in metrics {
        put(&mut all, metric)?;
        put(&mut latest, metric)?;
    }
    Ok(())
}

fn log_param(db: &Connection, run_id: &str, param: &Param) -> Result<(), Trouble> {
    let value = shorten(&param.value, LONGEST_PARAM);
    let made = db
        .prepare_cached("INSERT OR IGNORE INTO params (run_uuid, key, value) VALUES (?1, ?2, ?3)")?
        .execute([run_id, &param.key, &value])?;
    if made > 0 {
        return Ok(());
    }
    let mut query = db.prepare_cached("SELECT value FROM params WHERE run_uuid = ?1 AND key = ?2")?;
    let old: Option<String> = query.query_row([run_id, &param.key], |row| row.get(0)).optional()?;
    match old {
        Some(old) if old != value => {
            let message = format!(
                "Changing param values is not allowed. Param with key='{}' was already logged with value='{old}' for \
                 run ID='{run_id}'. Attempted logging new value '{value}'.",
                param.key
            );
            Err(TrackingError::Invalid(message).into())
        }
        _ => Ok(()),
    }
}
