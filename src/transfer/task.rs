//! What all tasks of a transfer do about errors.

use super::Transfer;
use crate::store::remote::TransferError;

/// Asks less of a server that says it is too much.
pub(super) fn back_off(transfer: &Transfer, trouble: &TransferError) {
    if let TransferError::Transient { after: Some(_), .. } = trouble {
        transfer.limiter.back_off();
    }
}

/// A task that broke is a mistake of ours.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn broken(error: tokio::task::JoinError) -> TransferError {
    TransferError::Permanent(format!("internal error while moving data; please report it: {error}"))
}
