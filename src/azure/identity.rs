//! The identity for Entra ID: from the environment, a managed identity or the Azure CLI.

use std::sync::{Arc, OnceLock};

use azure_core::auth::TokenCredential;

use crate::again::amlrun;
use crate::store::remote::TransferError;

/// The scope of Azure Storage.
const SCOPE: &str = "https://storage.azure.com/.default";

/// The credential of this process, created once: it caches its tokens.
pub(super) fn credential() -> Result<Arc<dyn TokenCredential>, TransferError> {
    static CREDENTIAL: OnceLock<Result<Arc<dyn TokenCredential>, String>> = OnceLock::new();
    let made = CREDENTIAL.get_or_init(|| azure_identity::create_credential().map_err(|e| e.to_string()));
    made.clone().map_err(|why| TransferError::Denied(unknown(&why)))
}

/// Makes sure that there is a token before a request needs one.
pub(super) async fn sign_in(address: &str) -> Result<Arc<dyn TokenCredential>, TransferError> {
    let credential = credential()?;
    match credential.get_token(&[SCOPE]).await {
        Ok(_) => Ok(credential),
        Err(why) => Err(TransferError::Denied(format!("{address} is not public, and {}", unknown(&why.to_string())))),
    }
}

fn unknown(why: &str) -> String {
    let why = why.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    format!(
        "you are not signed in: run 'az login', or set a key or SAS in [accounts] of amlrun.toml or in a \
        datastore ({}); tried: {why}",
        amlrun("datastore create -f FILE")
    )
}
