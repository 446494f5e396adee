//! What all transfers of one command share: threads, limits and connections to remote storage.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::azure::Container;
use crate::data::location::Place;
use crate::error::Failed;
use crate::secret::Credential;
use crate::store::remote::{Remote, TransferError};
use crate::transfer::http::Http;
use crate::transfer::web::Web;
use crate::transfer::{self, Limits, Transfer};

/// A remote container and a name in it.
type Reached = (Arc<dyn Remote>, String);

/// How long transfers in progress may take to clean up.
const ENOUGH: Duration = Duration::from_secs(1);

/// Threads that transfer bytes, and the connections made so far.
pub(crate) struct TransferSession {
    /// Always `Some`, except while it is dropped.
    runtime: Option<Runtime>,
    pub transfer: Transfer,
    stop: watch::Sender<bool>,
    /// Connections by address and credential, so that each is made once.
    reached: Mutex<HashMap<String, Arc<dyn Remote>>>,
}

impl TransferSession {
    pub(crate) fn new(limits: Limits) -> Result<Self, Failed> {
        let runtime = transfer::runtime().map_err(|e| Failed::new(format!("cannot start threads: {e}")))?;
        let (stop, stopped) = watch::channel(false);
        Ok(Self { runtime: Some(runtime), transfer: Transfer::new(limits, stopped), stop, reached: Mutex::default() })
    }

    /// The remote container of a place, and the name in it. `None` for a local place.
    pub(crate) fn reach(&self, place: &Place) -> Result<Option<Reached>, TransferError> {
        let (key, name) = match place {
            Place::Local(_) => return Ok(None),
            Place::Web { url } => ("web".to_owned(), url.clone()),
            Place::Blob { uri, credential } => {
                let key = format!("{}/{} {}", uri.endpoint, uri.container, fingerprint(credential));
                (key, uri.path.clone())
            }
        };
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remote) = reached.get(&key) {
            return Ok(Some((remote.clone(), name)));
        }
        let http = |redirects| Http::new(self.transfer.limits.stall, redirects).map_err(TransferError::Permanent);
        let remote: Arc<dyn Remote> = match place {
            Place::Blob { uri, credential } => {
                Arc::new(Container::new(http(false)?, &uri.account, &uri.endpoint, &uri.container, credential)?)
            }
            _ => Arc::new(Web::new(http(true)?)),
        };
        reached.insert(key, remote.clone());
        Ok(Some((remote, name)))
    }

    /// Runs the work on the session's threads and waits for it. Ends early when the user asks for it.
    pub(crate) fn block_on<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, TransferError>> + Send + 'static,
    ) -> Result<T, TransferError> {
        let transfer = self.transfer.clone();
        let Some(runtime) = &self.runtime else { return Err(TransferError::Stopped) };
        runtime.block_on(async move {
            let work = tokio::spawn(async move { transfer.until_stopped(work).await });
            work.await
                .unwrap_or_else(|e| Err(TransferError::Permanent(format!("internal error, please report it: {e}"))))
        })
    }

    /// Stops everything that is in progress.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// From now on, Ctrl-C and TERM stop the work in progress gracefully.
    pub(crate) fn hear_signals(self: &Arc<Self>) {
        use tokio::signal::unix::{SignalKind, signal};
        let session = Arc::downgrade(self);
        let Some(runtime) = &self.runtime else { return };
        runtime.spawn(async move {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if let Some(session) = session.upgrade() {
                session.stop();
            }
        });
    }
}

impl Drop for TransferSession {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // A run may drop the session inside an async context, where blocking is not allowed. Otherwise there is time to
        // clean up, but not to read a large file to its end for a checksum.
        match tokio::runtime::Handle::try_current() {
            Ok(_) => runtime.shutdown_background(),
            Err(_) => runtime.shutdown_timeout(ENOUGH),
        }
    }
}

/// Identifies a credential without revealing it.
fn fingerprint(credential: &Credential) -> String {
    let (kind, secret) = match credential {
        Credential::AccountKey(secret) => ("key", secret.reveal()),
        Credential::Sas(secret) => ("sas", secret.reveal()),
        Credential::Identity => ("identity", ""),
    };
    blake3::hash(format!("{kind} {secret}").as_bytes()).to_hex().to_string()
}

impl From<TransferError> for Failed {
    fn from(trouble: TransferError) -> Self {
        match &trouble {
            TransferError::NotFound(_) => Self::not_found(trouble.to_string()),
            TransferError::Stopped => Self::stopped(),
            _ => Self::new(trouble.to_string()),
        }
    }
}
