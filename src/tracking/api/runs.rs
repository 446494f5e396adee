//! The routes `runs/…`

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::tracking::args::Args;
use crate::tracking::db::{Batch, FreshRun, RunChange, RunSearch};
use crate::tracking::model::{Metric, Param, RUN_NAME_TAG, RunStatus, Span, ViewType};
use crate::tracking::route::{Router, ask, tell};
use crate::tracking::{Result, Tracking, TrackingError, filter};

pub(super) fn routes() -> Router {
    Router::new()
        .route("/runs/create", tell(create))
        .route("/runs/get", ask(get))
        .route("/runs/update", tell(update))
        .route("/runs/delete", tell(delete))
        .route("/runs/restore", tell(restore))
        .route("/runs/search", tell(search))
        .route("/runs/set-tag", tell(set_tag))
        .route("/runs/delete-tag", tell(delete_tag))
        .route("/runs/log-metric", tell(log_metric))
        .route("/runs/log-parameter", tell(log_parameter))
        .route("/runs/log-batch", tell(log_batch))
}

fn create(tracking: &Tracking, args: &Args) -> Result<Value> {
    let tags = args.pairs("tags")?;
    let tag = tags.iter().find(|tag| tag.key == RUN_NAME_TAG).map(|tag| tag.value.as_str());
    let name = args.maybe_text("run_name")?.filter(|name| !name.is_empty());
    if let (Some(name), Some(tag)) = (name, tag)
        && name != tag
    {
        let message = format!(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values \
             (run_name='{name}', mlflow.runName='{tag}')."
        );
        return Err(TrackingError::Invalid(message));
    }
    let chance = random();
    let run_name = name.or(tag).map_or_else(|| random_name(chance), str::to_owned);
    let run = tracking.db.create_run(&FreshRun {
        run_id: &format!("{chance:016x}{:016x}", random()),
        run_name: &run_name,
        experiment_id: args.maybe_text("experiment_id")?.filter(|id| !id.is_empty()).unwrap_or("0"),
        user_id: args.maybe_text("user_id")?.unwrap_or("unknown"),
        start_time: args.maybe_integer("start_time")?.unwrap_or(Timestamp::now().0),
        tags: &tags,
    })?;
    Ok(json!({"run": run}))
}

fn get(tracking: &Tracking, args: &Args) -> Result<Value> {
    Ok(json!({"run": tracking.db.run(args.run_id()?)?}))
}

fn update(tracking: &Tracking, args: &Args) -> Result<Value> {
    let change = RunChange {
        // MLflow ignores an unknown status.
        status: args.maybe_text("status")?.and_then(RunStatus::parse),
        end_time: args.maybe_integer("end_time")?,
        run_name: args.maybe_text("run_name")?.filter(|name| !name.is_empty()),
    };
    Ok(json!({"run_info": tracking.db.update_run(args.run_id()?, &change)?}))
}

fn delete(tracking: &Tracking, args: &Args) -> Result<Value> {
    tracking.db.set_deleted(args.run_id()?, true)?;
    Ok(json!({}))
}

fn restore(tracking: &Tracking, args: &Args) -> Result<Value> {
    tracking.db.set_deleted(args.run_id()?, false)?;
    Ok(json!({}))
}

fn search(tracking: &Tracking, args: &Args) -> Result<Value> {
    let orders = args.texts("order_by")?;
    filter::check_orders(&orders)?;
    let page = tracking.db.search_runs(&RunSearch {
        // Experiment ids are numbers, so another text matches no experiment.
        experiments: args.texts("experiment_ids")?.iter().filter_map(|id| id.parse().ok()).collect(),
        view: ViewType::parse(args.maybe_text("run_view_type")?)?,
        filter: filter::parse(args.maybe_text("filter")?.unwrap_or_default())?,
        order: orders.into_iter().map(filter::parse_order).collect::<Result<_>>()?,
        span: Span::read(args.maybe_text("page_token")?, args.max_results(1000, 50_000)?)?,
    })?;
    let mut answer = json!({});
    if !page.items.is_empty() {
        answer["runs"] = json!(page.items);
    }
    if let Some(token) = page.next {
        answer["next_page_token"] = token.into();
    }
    Ok(answer)
}

fn set_tag(tracking: &Tracking, args: &Args) -> Result<Value> {
    let tag = args.pair()?;
    check_key("tag", &tag.key)?;
    tracking.db.tag_run(args.run_id()?, &tag)?;
    Ok(json!({}))
}

fn delete_tag(tracking: &Tracking, args: &Args) -> Result<Value> {
    tracking.db.untag_run(args.run_id()?, args.text("key")?)?;
    Ok(json!({}))
}

fn log_metric(tracking: &Tracking, args: &Args) -> Result<Value> {
    let batch = Batch { metrics: vec![metric(args)?], ..Batch::default() };
    tracking.log(args.run_id()?, &batch)?;
    Ok(json!({}))
}

fn log_parameter(tracking: &Tracking, args: &Args) -> Result<Value> {
    let batch = Batch { params: vec![param(args)?], ..Batch::default() };
    tracking.log(args.run_id()?, &batch)?;
    Ok(json!({}))
}

fn log_batch(tracking: &Tracking, args: &Args) -> Result<Value> {
    let (metrics, params, tags) = (args.records("metrics")?, args.records("params")?, args.pairs("tags")?);
    for (what, most, count) in
        [("metrics", 1000, metrics.len()), ("params", 100, params.len()), ("tags", 100, tags.len())]
    {
        if count > most {
            return Err(too_many(what, most, count));
        }
    }
    let all = metrics.len() + params.len() + tags.len();
    if all > 1000 {
        return Err(too_many("metrics, params, and tags", 1000, all));
    }
    let batch = Batch {
        metrics: metrics.iter().map(metric).collect::<Result<_>>()?,
        params: params.iter().map(param).collect::<Result<_>>()?,
        tags,
    };
    let mut seen = HashSet::new();
    if let Some(twice) = batch.params.iter().find(|param| !seen.insert(&param.key)) {
        let message = format!(
            "Duplicate parameter keys have been submitted: ['{}']. Please ensure the request contains only one param \
             value per param key.",
            twice.key
        );
        return Err(TrackingError::Invalid(message));
    }
    for tag in &batch.tags {
        check_key("tag", &tag.key)?;
    }
    tracking.log(args.run_id()?, &batch)?;
    Ok(json!({}))
}

fn too_many(what: &str, most: usize, count: usize) -> TrackingError {
    TrackingError::Invalid(format!(
        "A batch logging request can contain at most {most} {what}. Got {count} {what}. Please split up {what} across \
         multiple requests and try again."
    ))
}

fn metric(args: &Args) -> Result<Metric> {
    let key = args.text("key")?;
    check_key("metric", key)?;
    Ok(Metric {
        key: key.to_owned(),
        value: args.number("value")?,
        timestamp: args.integer("timestamp")?,
        step: args.maybe_integer("step")?.unwrap_or(0),
    })
}

fn param(args: &Args) -> Result<Param> {
    let param = args.pair()?;
    check_key("parameter", &param.key)?;
    Ok(param)
}

/// Checks a key by MLflow's rule: its file store makes files of keys.
fn check_key(what: &str, key: &str) -> Result<()> {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | ':' | '/');
    let name = format!("'{key}'");
    if !key.chars().all(legal) {
        let why = "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), \
             colon(:) and slashes (/).";
        return Err(TrackingError::invalid_value(&name, &format!("{what} name"), why));
    }
    if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        let why = "Names may be treated as files in certain cases, and must not resolve to other names when treated \
             as such.";
        return Err(TrackingError::invalid_value(&name, &format!("{what} name"), why));
    }
    if key.chars().count() > 250 {
        let why = format!("A {what} name can have 250 characters at most.");
        return Err(TrackingError::invalid_value(&name, &format!("{what} name"), &why));
    }
    Ok(())
}

/// 64 unpredictable bits: the standard library seeds every `RandomState` from the system.
fn random() -> u64 {
    RandomState::new().hash_one(Timestamp::now())
}

/// A name for a run without one, in MLflow's style: `brave-fox-417`.
fn random_name(chance: u64) -> String {
    const HOW: [&str; 8] = ["brave", "calm", "eager", "gentle", "keen", "lively", "patient", "swift"];
    const WHO: [&str; 8] = ["crane", "fox", "heron", "lynx", "otter", "owl", "seal", "wren"];
    let pick = |from: [&'static str; 8], bits: u64| from[usize::try_from(bits % 8).unwrap_or(0)];
    format!("{}-{}-{}", pick(HOW, chance), pick(WHO, chance >> 8), (chance >> 16) % 900 + 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_look_like_paths_but_not_lead_elsewhere() {
        for good in ["loss", "val/loss", "a b:c-d_e.f", "größe"] {
            check_key("metric", good).unwrap();
        }
        for bad in ["../x", "/x", "a//b", "a/.", "a?b", &"x".repeat(251)] {
            check_key("metric", bad).unwrap_err();
        }
    }

    #[test]
    fn random_ids_differ() {
        let ids: HashSet<u64> = (0..1000).map(|_| random()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
