//! Routes requests to calls: methods, arguments, threads, and errors in MLflow's format.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get};
use serde_json::{Value, json};

use super::Tracking;
use super::args::Args;
use super::error::{Result, TrackingError};

/// The longest JSON body. A batch at MLflow's own limits has about 2 MiB.
const LONGEST_BODY: usize = 16 << 20;

/// A router of this server.
pub(super) type Router = axum::Router<Arc<Tracking>>;

/// A call of the REST API: from arguments to JSON, on a thread that may block.
pub(super) type Call = fn(&Tracking, &Args) -> Result<Value>;

/// A GET route for a call.
pub(super) fn ask(call: Call) -> MethodRouter<Arc<Tracking>> {
    get(async move |State(tracking): State<Arc<Tracking>>, args: Args| answer(tracking, args, call).await)
}

/// A POST route for a call.
pub(super) fn tell(call: Call) -> MethodRouter<Arc<Tracking>> {
    axum::routing::post(async move |State(tracking): State<Arc<Tracking>>, args: Args| {
        answer(tracking, args, call).await
    })
}

/// A PATCH route for a call.
pub(super) fn amend(call: Call) -> MethodRouter<Arc<Tracking>> {
    axum::routing::patch(async move |State(tracking): State<Arc<Tracking>>, args: Args| {
        answer(tracking, args, call).await
    })
}

/// A DELETE route for a call; MLflow sends its arguments in a JSON body.
pub(super) fn remove(call: Call) -> MethodRouter<Arc<Tracking>> {
    axum::routing::delete(async move |State(tracking): State<Arc<Tracking>>, args: Args| {
        answer(tracking, args, call).await
    })
}

async fn answer(tracking: Arc<Tracking>, args: Args, call: Call) -> Response {
    match off_thread(move || call(&tracking, &args)).await {
        Ok(value) => Json(value).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Runs work that may wait for a disk or a lock on a blocking thread.
pub(super) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panicked| {
        Err(TrackingError::Internal(format!("internal error, please report it: {panicked}")))
    })
}

impl IntoResponse for TrackingError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(json!({"error_code": self.code(), "message": self.to_string()}))).into_response()
    }
}

impl<S: Send + Sync> FromRequest<S> for Args {
    type Rejection = TrackingError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        if request.method().is_safe() {
            let pairs = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
            let bad = |error| TrackingError::Invalid(format!("The query string cannot be read: {error}"));
            return Ok(Self::from_query(pairs.map_err(bad)?.0));
        }
        let (head, body) = request.into_parts();
        let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let body = read_body(body).await?;
        // This also prevents that a web form is read as a command.
        if !content_type.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/json")) {
            let message = "Bad Request. Content-Type must be one of ['application/json'].";
            return Err(TrackingError::Invalid(message.to_owned()));
        }
        Self::from_json(&body)
    }
}

async fn read_body(body: Body) -> Result<axum::body::Bytes> {
    axum::body::to_bytes(body, LONGEST_BODY).await.map_err(|error| {
        let message = format!(
            "The request body cannot be read ({error}); JSON bodies can have at most {} MiB. \
             Log in smaller batches, or log large data as an artifact.",
            LONGEST_BODY >> 20
        );
        TrackingError::TooLong(message)
    })
}
