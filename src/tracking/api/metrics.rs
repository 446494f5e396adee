//! The routes `metrics/…`

use serde_json::{Value, json};

use crate::tracking::args::Args;
use crate::tracking::model::Span;
use crate::tracking::route::{Router, ask};
use crate::tracking::{Result, Tracking};

pub(super) fn routes() -> Router {
    Router::new().route("/metrics/get-history", ask(history))
}

fn history(tracking: &Tracking, args: &Args) -> Result<Value> {
    let (run_id, key) = (args.run_id()?, args.text("metric_key")?);
    let span = match args.maybe_integer("max_results")? {
        None => None,
        Some(_) => Some(Span::read(args.maybe_text("page_token")?, args.max_results(1, usize::MAX)?)?),
    };
    let page = tracking.db.history(run_id, key, span)?;
    let mut answer = json!({});
    if !page.items.is_empty() {
        answer["metrics"] = json!(page.items);
    }
    if let Some(token) = page.next {
        answer["next_page_token"] = token.into();
    }
    Ok(answer)
}
