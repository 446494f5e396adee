//! What all tasks of a transfer do about errors.

use super::Transfer;
use crate::store::remote::TransferError;

/// Lowers the concurrency limit if the server says that it is overloaded.
pub(super) fn back_off(transfer: &Transfer, trouble: &TransferError) {
    if let TransferError::Transient { after: Some(_), .. } = trouble {
        transfer.limiter.back_off();
    }
}

/// The error for a task that panicked, which is a bug of ours.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn broken(error: tokio::task::JoinError) -> TransferError {
    TransferError::Permanent(format!("internal error during a transfer, please report it: {error}"))
}
