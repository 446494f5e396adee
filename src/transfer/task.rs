//! What all tasks of a transfer do about errors.

use super::Transfer;
use crate::store::remote::Trouble;

/// Asks less of a server that says it is too much.
pub(super) fn spare(transfer: &Transfer, trouble: &Trouble) {
    if let Trouble::Passing { after: Some(_), .. } = trouble {
        transfer.gauge.spare();
    }
}

/// A task that broke is a mistake of ours.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn broken(error: tokio::task::JoinError) -> Trouble {
    Trouble::Final(format!("internal error while moving data; please report it: {error}"))
}
