//! The HTTP server: listening, who may come in, where requests go, and stopping.
//!
//! One axum router on the caller's tokio runtime. Database work runs on tokio's blocking threads, so a slow disk never
//! holds up the runner's own tasks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::args::Args;
use super::guard::Guard;
use super::{Result, Tracking, TrackingError, api};

/// The longest JSON body that is read. A batch at MLflow's own limits has about 2 MiB.
const LONGEST_BODY: usize = 16 << 20;

/// How long requests in progress may go on after [`Server::stop`].
const GRACE: Duration = Duration::from_secs(2);

/// How long a client may take to send the head of a request, the first or the next one on a connection.
const HEAD: Duration = Duration::from_secs(10);

/// How many connections are open at once; more wait for their turn.
const MOST_OPEN: usize = 512;

const BREATH: Duration = Duration::from_millis(50);

/// The version of MLflow whose REST API this server speaks.
pub const MLFLOW_VERSION: &str = "3.17.2";

/// A running server. Dropping it stops it at once; [`Server::stop`] lets requests finish.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Starts to serve `tracking` on `address` (port 0 takes a free one) to whoever holds `token`, on the tokio runtime
    /// that the caller is in.
    ///
    /// # Errors
    /// [`TrackingError::Listen`], e.g. when the port is taken.
    pub fn start(tracking: Arc<Tracking>, token: &str, address: SocketAddr) -> Result<Self> {
        let failed = |source| TrackingError::Listen { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let guard = Guard::new(token, address.ip());
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, router(tracking, guard), stopping));
        Ok(Self { address, stop, serving })
    }

    /// What `MLFLOW_TRACKING_URI` must be: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes no new connections, lets requests in progress finish for up to two seconds, and ends.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(GRACE, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.serving.abort();
    }
}

/// Takes connections until it is to stop; then those that are in the middle of a request end it. Whoever connects and
/// says nothing, or says it one byte at a time, is let go: it needs no token for that, and each connection is a file.
async fn serve(listener: TcpListener, router: axum::Router, mut stopping: watch::Receiver<bool>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let open = Arc::new(Semaphore::new(MOST_OPEN));
    let (graceful, mut serving) = (GracefulShutdown::new(), JoinSet::new());
    loop {
        let accepted = async {
            let place = open.clone().acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            Some(_) = serving.join_next() => continue,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let Ok((connection, _)) = accepted else {
            // There are no more files for a moment.
            tokio::time::sleep(BREATH).await;
            continue;
        };
        // Head and body of an answer are two packets: without this the second waits 40 ms for the first one's receipt.
        let _ = connection.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let served = graceful.watch(http.serve_connection(TokioIo::new(connection), service));
        serving.spawn(async move {
            // What goes wrong is seen by the client, and recording trouble never breaks a run.
            let _ = served.await;
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// What a router of this server knows.
pub(super) type Router = axum::Router<Arc<Tracking>>;

fn router(tracking: Arc<Tracking>, guard: Guard) -> axum::Router {
    let mlflow = api::rest();
    let artifacts = api::artifacts::proxy();
    let mut router = Router::new()
        .route("/health", get(async || "OK"))
        .route("/version", get(async || MLFLOW_VERSION))
        .route("/api/3.0/mlflow/server-info", get(server_info))
        .route("/ajax-api/3.0/mlflow/server-info", get(server_info));
    for base in ["/api/2.0", "/ajax-api/2.0"] {
        router = router
            .nest(&format!("{base}/mlflow"), mlflow.clone())
            .nest(&format!("{base}/mlflow-artifacts"), artifacts.clone());
    }
    router
        .fallback(no_endpoint)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state((guard, tracking.clone()), let_in))
        .with_state(tracking)
}

async fn let_in(State((guard, tracking)): State<(Guard, Arc<Tracking>)>, request: Request, next: Next) -> Response {
    tracking.asked();
    match guard.check(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn server_info() -> Json<Value> {
    Json(json!({
        "store_type": "SqlStore", "workspaces_enabled": false, "trace_archival_enabled": false,
        "multipart_uploads_enabled": false, "multipart_downloads_enabled": false,
        "presigned_upload_run_id_supported": false, "presigned_upload_model_id_supported": false,
        "features_enabled": {"gateway": false},
    }))
}

async fn no_endpoint(request: Request) -> TrackingError {
    let path = request.uri().path();
    let mut message = format!("No such endpoint: {} {path}", request.method());
    if path.contains("/logged-models") {
        message += ". This server, like Azure ML's, keeps no logged models of MLflow 3: log with mlflow<3, or save the \
                    model with mlflow.<flavor>.save_model into an output of the step";
    }
    TrackingError::NoEndpoint(message)
}

async fn wrong_method(request: Request) -> TrackingError {
    TrackingError::WrongMethod(format!("{} is not a method of {}", request.method(), request.uri().path()))
}

impl IntoResponse for TrackingError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(json!({"error_code": self.code(), "message": self.to_string()}))).into_response()
    }
}

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

/// Does work that may wait for a disk or a lock, away from the runtime's own threads.
pub(super) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panicked| Err(TrackingError::Internal(format!("the server broke here: {panicked}"))))
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
        // Also what keeps a web form from being read as a command.
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
            "The request body cannot be read ({error}); JSON bodies may have {} MiB at most. \
             Log in smaller batches, or log large data as an artifact.",
            LONGEST_BODY >> 20
        );
        TrackingError::TooLong(message)
    })
}
