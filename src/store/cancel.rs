//! Requests to cancel single steps of a run: one file for each in the run's folder, which the runner removes.

use std::io::ErrorKind;

use super::{RunFolder, StoreError, at};

impl RunFolder {
    /// Asks the runner of this run to cancel a step, by its job name.
    ///
    /// # Errors
    /// When the request cannot be written.
    pub fn request_cancel(&self, job: &str) -> Result<(), StoreError> {
        let folder = self.path.join("cancel");
        std::fs::create_dir_all(&folder).map_err(at("create the folder", &folder))?;
        let request = folder.join(job);
        std::fs::write(&request, "").map_err(at("write", &request))
    }

    /// Removes the request to cancel a step. Whether there was one; a new request counts again.
    #[must_use]
    pub fn take_cancel(&self, job: &str) -> bool {
        let request = self.path.join("cancel").join(job);
        std::fs::remove_file(&request).is_ok()
    }

    /// Removes requests that were made to an earlier runner.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn forget_cancels(&self) -> Result<(), StoreError> {
        let folder = self.path.join("cancel");
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(at("remove", &folder)(error)),
            _ => Ok(()),
        }
    }
}
