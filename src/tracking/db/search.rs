//! Searches runs: MLflow's filters and orders as SQL, so that a page of a hundred runs does not read a hundred
//! thousand.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::runs::read;
use super::{Db, Trouble};
use crate::tracking::error::Result;
use crate::tracking::filter::{Comparison, Field, Op, Operand, Order};
use crate::tracking::model::{Page, Run, Span, ViewType};

/// The search, and the requested page.
pub(in crate::tracking) struct RunSearch {
    pub(in crate::tracking) experiments: Vec<i64>,
    pub(in crate::tracking) view: ViewType,
    pub(in crate::tracking) filter: Vec<Comparison>,
    pub(in crate::tracking) order: Vec<Order>,
    pub(in crate::tracking) span: Span,
}

impl Db {
    pub(in crate::tracking) fn search_runs(&self, search: &RunSearch) -> Result<Page<Run>> {
        let sql = Sql::of(search)?;
        self.read(|db| {
            let mut runs = Vec::new();
            for id in ids(db, &sql)? {
                runs.push(read(db, &id)?);
            }
            Ok(search.span.page(runs))
        })
    }
}

fn ids(db: &Connection, sql: &Sql) -> Result<Vec<String>, Trouble> {
    let mut query = db.prepare_cached(&sql.text)?;
    let ids = query.query_map(params_from_iter(&sql.values), |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// A statement and the values of its `?`s, in order. The text never contains input from a client.
#[derive(Default)]
struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    fn of(search: &RunSearch) -> Result<Self> {
        let mut sql = Self { text: "SELECT run_uuid FROM runs WHERE ".to_owned(), values: Vec::new() };
        sql.push("experiment_id IN (SELECT value FROM json_each(?))", [json(&search.experiments).into()]);
        match search.view {
            ViewType::ActiveOnly => sql.text.push_str(" AND lifecycle_stage = 'active'"),
            ViewType::DeletedOnly => sql.text.push_str(" AND lifecycle_stage = 'deleted'"),
            ViewType::All => {}
        }
        for comparison in &search.filter {
            sql.text.push_str(" AND ");
            sql.comparison(comparison)?;
        }
        sql.text.push_str(" ORDER BY ");
        for order in &search.order {
            sql.order(order)?;
        }
        sql.text.push_str("start_time IS NULL, start_time DESC, run_uuid LIMIT ? OFFSET ?");
        let count = |n: usize| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
        sql.values.extend([count(search.span.limit.saturating_add(1)), count(search.span.offset)]);
        Ok(sql)
    }

    fn push<const N: usize>(&mut self, text: &str, values: [Value; N]) {
        self.text.push_str(text);
        self.values.extend(values);
    }

    fn comparison(&mut self, comparison: &Comparison) -> Result<()> {
        match &comparison.field {
            Field::Attribute(name) => {
                let (column, numeric) = column(&comparison.field, name)?;
                self.condition(column, numeric, comparison)
            }
            Field::Metric(key) => self.table("latest_metrics", key, comparison, |sql| {
                sql.text.push_str("NOT is_nan AND ");
                sql.condition("value", true, comparison)
            }),
            Field::Param(key) => self.table("params", key, comparison, |sql| sql.condition("value", false, comparison)),
            Field::Tag(key) => self.table("tags", key, comparison, |sql| sql.condition("value", false, comparison)),
        }
    }

    /// A condition on the row of a run for a key, if it exists.
    fn table(
        &mut self,
        table: &str,
        key: &str,
        comparison: &Comparison,
        condition: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        if comparison.op == Op::IsNull {
            self.text.push_str("NOT ");
        }
        let text = format!("EXISTS (SELECT 1 FROM {table} AS t WHERE t.run_uuid = runs.run_uuid AND key = ?");
        self.push(&text, [key.to_owned().into()]);
        if !matches!(comparison.op, Op::IsNull | Op::IsNotNull) {
            self.text.push_str(" AND ");
            condition(self)?;
        }
        self.text.push(')');
        Ok(())
    }

    fn condition(&mut self, column: &str, numeric: bool, comparison: &Comparison) -> Result<()> {
        let symbol = match comparison.op {
            Op::Equal => "=",
            Op::NotEqual => "<>",
            Op::Less => "<",
            Op::LessOrEqual => "<=",
            Op::Greater => ">",
            Op::GreaterOrEqual => ">=",
            Op::Like => "GLOB",
            Op::Ilike => "LIKE",
            Op::In => "IN",
            Op::NotIn => "NOT IN",
            Op::IsNull => "IS NULL",
            Op::IsNotNull => "IS NOT NULL",
        };
        let ordered = matches!(comparison.op, Op::Less | Op::LessOrEqual | Op::Greater | Op::GreaterOrEqual);
        let equal = matches!(comparison.op, Op::Equal | Op::NotEqual);
        match (&comparison.operand, numeric) {
            (Operand::Nothing, _) => self.push(&format!("{column} {symbol}"), []),
            (Operand::Number(number), true) if ordered || equal => {
                self.push(&format!("{column} {symbol} ?"), [(*number).into()]);
            }
            (Operand::Text(text), false) if !ordered => {
                let text = if comparison.op == Op::Like { glob(text) } else { text.clone() };
                self.push(&format!("{column} {symbol} ?"), [text.into()]);
            }
            (Operand::List(list), false) => {
                self.push(&format!("{column} {symbol} (SELECT value FROM json_each(?))"), [json(list).into()]);
            }
            _ => return comparison.mismatch(if numeric { "a number" } else { "a string" }),
        }
        Ok(())
    }

    /// Missing values are last in both directions, NaN just before them.
    fn order(&mut self, order: &Order) -> Result<()> {
        let direction = if order.descending { "DESC" } else { "ASC" };
        let value = |table: &str, what: &str| {
            format!("(SELECT {what} FROM {table} AS t WHERE t.run_uuid = runs.run_uuid AND key = ?)")
        };
        let key = || Value::from(order.field.name().to_owned());
        match &order.field {
            Field::Attribute(name) => {
                let (column, _) = column(&order.field, name)?;
                self.push(&format!("{column} IS NULL, {column} {direction}, "), []);
            }
            Field::Metric(_) => {
                let rank = value("latest_metrics", "is_nan");
                self.push(&format!("coalesce({rank}, 2), "), [key()]);
                self.push(&format!("{} {direction}, ", value("latest_metrics", "value")), [key()]);
            }
            Field::Param(_) | Field::Tag(_) => {
                let table = if matches!(order.field, Field::Param(_)) { "params" } else { "tags" };
                self.push(&format!("{} IS NULL, ", value(table, "value")), [key()]);
                self.push(&format!("{} {direction}, ", value(table, "value")), [key()]);
            }
        }
        Ok(())
    }
}

/// The column of a run's attribute, and whether it is a number.
fn column(field: &Field, name: &str) -> Result<(&'static str, bool)> {
    match name.to_ascii_lowercase().replace(' ', "_").as_str() {
        "run_id" => Ok(("run_uuid", false)),
        "run_name" => Ok(("name", false)),
        "status" => Ok(("status", false)),
        "user_id" => Ok(("user_id", false)),
        "artifact_uri" => Ok(("artifact_uri", false)),
        "start_time" | "created" => Ok(("start_time", true)),
        "end_time" => Ok(("end_time", true)),
        _ => field.unknown(&["artifact_uri", "end_time", "run_id", "run_name", "start_time", "status", "user_id"]),
    }
}

/// The pattern of LIKE for GLOB, because SQLite's LIKE ignores case.
fn glob(pattern: &str) -> String {
    let mut glob = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        match c {
            '%' => glob.push('*'),
            '_' => glob.push('?'),
            '*' | '?' | '[' => glob.extend(['[', c, ']']),
            _ => glob.push(c),
        }
    }
    glob
}

fn json<T: serde::Serialize>(list: &[T]) -> String {
    serde_json::json!(list).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tracking::compare::Found;
    use crate::tracking::db::{Batch, FreshRun};
    use crate::tracking::filter;
    use crate::tracking::model::{Metric, Tag};

    fn found(db: &Db, filter: &str) -> Result<usize> {
        let search = RunSearch {
            experiments: vec![0],
            view: ViewType::All,
            filter: filter::parse(filter)?,
            order: vec![],
            span: Span { offset: 0, limit: 10 },
        };
        Ok(db.search_runs(&search)?.items.len())
    }

    fn db_with_a_run(folder: &std::path::Path) -> Db {
        let db = Db::open(&folder.join("tracking.db")).unwrap();
        let run = FreshRun { run_id: "r", run_name: "r", experiment_id: "0", user_id: "u", start_time: 1, tags: &[] };
        db.create_run(&run).unwrap();
        db
    }

    #[test]
    fn operators_must_fit_what_they_compare() {
        let folder = tempfile::tempdir().unwrap();
        let db = db_with_a_run(folder.path());
        for filter in [
            "params.x < 'a'",
            "metrics.m = 'a'",
            "metrics.m LIKE 'a'",
            "start_time = 'a'",
            "tags.t = 1",
            "nonsense = 1",
        ] {
            assert!(matches!(found(&db, filter), Err(crate::tracking::TrackingError::Invalid(_))), "{filter}");
        }
        assert_eq!(found(&db, "user_id = 'u' AND start_time <= 1 AND end_time IS NULL").unwrap(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Both ways to search, SQL and memory, give the same results.
        #[test]
        fn sql_and_memory_agree(
            text in "[aAb%_*?\\[\\]^.-]{0,6}",
            pattern in "[aAb%_*?\\[\\]^.-]{0,6}",
            op in prop::sample::select(vec!["=", "!=", "LIKE", "ILIKE"]),
            value in -2..3_i32,
            bound in -2..3_i32,
            sign in prop::sample::select(vec!["=", "!=", "<", "<=", ">", ">="]),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let db = db_with_a_run(folder.path());
            let metric = Metric { key: "m".into(), value: value.into(), timestamp: 1, step: 0 };
            let batch = Batch { metrics: vec![metric], tags: vec![Tag::new("t", &text)], ..Batch::default() };
            db.log("r", &batch).unwrap();
            let filter = format!("tags.t {op} '{pattern}'");
            let holds = filter::parse(&filter).unwrap()[0].holds(Some(Found::Text(text.clone()))).unwrap();
            prop_assert_eq!(found(&db, &filter).unwrap() == 1, holds, "'{}': {}", text, filter);
            let filter = format!("metrics.m {sign} {bound}");
            let holds = filter::parse(&filter).unwrap()[0].holds(Some(Found::Number(value.into()))).unwrap();
            prop_assert_eq!(found(&db, &filter).unwrap() == 1, holds, "{}: {}", value, filter);
        }
    }
}
