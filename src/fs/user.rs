//! The folders of the user (XDG Base Directory Specification).

use std::path::PathBuf;

/// amlrun's folder in the user's cache folder. `None` if the user has none.
#[must_use]
pub fn cache_folder() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("amlrun"))
}
