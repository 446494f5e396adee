//! The routes `experiments/…`

use serde_json::{Value, json};

use super::records::{keep, sort};
use crate::tracking::args::Args;
use crate::tracking::compare::Found;
use crate::tracking::filter::{self, Field};
use crate::tracking::model::{Experiment, Span, ViewType};
use crate::tracking::route::{Router, ask, tell};
use crate::tracking::{Result, Tracking};

pub(super) fn routes() -> Router {
    Router::new()
        .route("/experiments/create", tell(create))
        .route("/experiments/get", ask(get))
        .route("/experiments/get-by-name", ask(get_by_name))
        .route("/experiments/search", tell(search).merge(ask(search)))
        .route("/experiments/set-experiment-tag", tell(set_tag))
}

fn create(tracking: &Tracking, args: &Args) -> Result<Value> {
    let location = args.maybe_text("artifact_location")?.filter(|location| !location.is_empty());
    let id = tracking.db.create_experiment(args.text("name")?, location, &args.pairs("tags")?)?;
    Ok(json!({"experiment_id": id}))
}

fn get(tracking: &Tracking, args: &Args) -> Result<Value> {
    Ok(json!({"experiment": tracking.db.experiment_by_id(args.text("experiment_id")?)?}))
}

fn get_by_name(tracking: &Tracking, args: &Args) -> Result<Value> {
    Ok(json!({"experiment": tracking.db.experiment_by_name(args.text("experiment_name")?)?}))
}

fn set_tag(tracking: &Tracking, args: &Args) -> Result<Value> {
    tracking.db.tag_experiment(args.text("experiment_id")?, &args.pair()?)?;
    Ok(json!({}))
}

fn search(tracking: &Tracking, args: &Args) -> Result<Value> {
    let span = Span::read(args.maybe_text("page_token")?, args.max_results(1000, 50_000)?)?;
    let filter = filter::parse(args.maybe_text("filter")?.unwrap_or_default())?;
    let all = tracking.db.experiments(ViewType::parse(args.maybe_text("view_type")?)?)?;
    let mut found = keep(all, &filter, find)?;
    sort(&mut found, &args.texts("order_by")?, find)?;
    let page = span.cut(found);
    let mut answer = json!({});
    if !page.items.is_empty() {
        answer["experiments"] = json!(page.items);
    }
    if let Some(token) = page.next {
        answer["next_page_token"] = token.into();
    }
    Ok(answer)
}

fn find(experiment: &Experiment, field: &Field) -> Result<Option<Found>> {
    // Times are far below 2^53, where every whole number is exact.
    #[allow(clippy::cast_precision_loss)]
    let time = |time: i64| Ok(Some(Found::Number(time as f64)));
    match field {
        Field::Tag(key) => Ok(experiment.tags.iter().find(|tag| tag.key == *key).map(|t| Found::Text(t.value.clone()))),
        Field::Attribute(name) => match name.as_str() {
            "name" => Ok(Some(Found::Text(experiment.name.clone()))),
            "experiment_id" => Ok(Some(Found::Text(experiment.experiment_id.clone()))),
            "creation_time" => time(experiment.creation_time),
            "last_update_time" => time(experiment.last_update_time),
            _ => field.unknown(&["creation_time", "experiment_id", "last_update_time", "name"]),
        },
        _ => field.unknown(&["creation_time", "experiment_id", "last_update_time", "name"]),
    }
}
