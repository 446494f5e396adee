//! The HTTP server: listens, checks access, routes requests, and stops.
//!
//! It is one axum router on the caller's tokio runtime. Database work runs on tokio's blocking threads, so a slow
//! disk never delays the runner's own tasks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::guard::Guard;
use super::route::Router;
use super::{Result, Tracking, TrackingError, api};

/// How long requests in progress may continue after [`Server::stop`].
const GRACE: Duration = Duration::from_secs(2);

/// How long a client may take to send the head of a request, the first or the next one on a connection.
const HEAD: Duration = Duration::from_secs(10);

/// How many connections are open at the same time; others wait.
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
    /// Starts to serve `tracking` on `address` (port 0 takes a free one) to clients with `token`, on the current
    /// tokio runtime.
    ///
    /// # Errors
    /// [`TrackingError::Listen`], for example when the port is in use.
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

    /// The value for `MLFLOW_TRACKING_URI`: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Accepts no new connections, lets requests in progress finish for up to two seconds, and ends.
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

/// Accepts connections until it must stop; then requests in progress finish. A connection on which a client sends no
/// request, or sends it one byte at a time, is closed: that needs no token, and each connection uses a file
/// descriptor.
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
            // The process has no more file descriptors for a moment.
            tokio::time::sleep(BREATH).await;
            continue;
        };
        // Head and body of a response are two packets. Without this the second waits 40 ms for the acknowledgement of
        // the first.
        let _ = connection.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let served = graceful.watch(http.serve_connection(TokioIo::new(connection), service));
        serving.spawn(async move {
            // The client sees an error, and errors of recording never stop a run.
            let _ = served.await;
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

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
        message += ". Like Azure ML, this server does not support the logged models of MLflow 3: use mlflow<3, or \
        save the model to an output of the step with mlflow.<flavor>.save_model";
    }
    TrackingError::NoEndpoint(message)
}

async fn wrong_method(request: Request) -> TrackingError {
    TrackingError::WrongMethod(format!("{} is not allowed for {}", request.method(), request.uri().path()))
}
