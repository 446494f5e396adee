//! Seals models: a client's model is copied below the `models` folder, under the digest of its content, and made
//! read-only. A model that is registered twice is stored once. Later changes of the run's artifacts do not affect it.

use std::path::{Path, PathBuf};

use super::error::{Result, TrackingError};
use crate::digest::Digest;
use crate::fs::atomic::Temporary;
use crate::registry::AssetType;
use crate::store::tree;

/// Sealed content, ready to be registered.
#[derive(Debug)]
pub struct Sealed {
    /// The file or folder, below `models/<digest>`.
    pub path: PathBuf,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
    /// `mlflow_model` if it has an `MLmodel` file, otherwise `custom_model`.
    pub asset_type: AssetType,
}

/// Seals the file or folder `source` below `models`. With `link`, the content may be shared with `source`.
///
/// # Errors
/// An empty folder, a symbolic link that leads out of `source`, or an error of the file system.
pub fn seal(models: &Path, source: &Path, link: bool) -> Result<Sealed> {
    let copy = if link { tree::link_or_copy_tree } else { tree::copy_tree };
    std::fs::create_dir_all(models).map_err(TrackingError::io(models))?;
    let building = Temporary::beside(&models.join("new"));
    // A single file keeps its name in its own folder.
    let name = source.file_name().filter(|_| source.is_file());
    let inside = |folder: &Path| name.map_or(folder.to_owned(), |name| folder.join(name));
    copy(source, &inside(building.path())).map_err(TrackingError::from)?;
    settle(models, &building, &inside)
}

fn settle(models: &Path, new: &Temporary, inside: &dyn Fn(&Path) -> PathBuf) -> Result<Sealed> {
    let building = new.path();
    let copied = inside(building);
    let size = tree::size_of(&copied)?;
    if size.files == 0 {
        return Err(TrackingError::Invalid("There are no files to register at the given source.".to_owned()));
    }
    tree::make_read_only(&copied)?;
    let digest = Digest::of_tree(&copied).map_err(TrackingError::io(&copied))?;
    // For a single file the folder around it counts, because the name counts.
    let whole = if copied == building {
        digest.clone()
    } else {
        Digest::of_tree(building).map_err(TrackingError::io(building))?
    };
    let home = models.join(whole.as_str());
    if home.exists() && !Digest::of_tree(&home).is_ok_and(|digest| digest == whole) {
        // Somebody edited the sealed content. It must not be served under this digest, so the real content replaces
        // it.
        let aside = Temporary::beside(&home);
        std::fs::rename(&home, aside.path()).map_err(TrackingError::io(&home))?;
    }
    if !home.exists() {
        match new.place_at(&home) {
            // Another process sealed the same content meanwhile.
            Err(_) if home.is_dir() => {}
            renamed => renamed.map_err(TrackingError::io(&home))?,
        }
    }
    let path = inside(&home);
    let mlflow = path.join("MLmodel").is_file();
    let asset_type = if mlflow { AssetType::MlflowModel } else { AssetType::CustomModel };
    Ok(Sealed { path, digest, bytes: size.bytes, asset_type })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_are_kept_once_and_read_only() {
        let folder = tempfile::tempdir().unwrap();
        let (source, models) = (folder.path().join("model"), folder.path().join("models"));
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join("MLmodel"), "flavors: {}").unwrap();
        let first = seal(&models, &source, false).unwrap();
        let second = seal(&models, &source, true).unwrap();
        assert_eq!((first.path.clone(), first.bytes), (second.path, second.bytes));
        assert_eq!(first.asset_type, AssetType::MlflowModel);
        assert_eq!(first.digest, Digest::of_tree(&source).unwrap());
        assert!(first.path.join("MLmodel").metadata().unwrap().permissions().readonly());
        assert_eq!(std::fs::read_dir(&models).unwrap().count(), 1);
    }

    #[test]
    fn what_was_edited_makes_room_for_the_true_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (source, models) = (folder.path().join("model.pt"), folder.path().join("models"));
        std::fs::write(&source, "weights").unwrap();
        let first = seal(&models, &source, false).unwrap();
        std::fs::remove_file(&first.path).unwrap();
        std::fs::write(&first.path, "weihgts").unwrap();
        let second = seal(&models, &source, false).unwrap();
        assert_eq!((&second.path, &second.digest), (&first.path, &first.digest));
        assert_eq!(std::fs::read(&second.path).unwrap(), b"weights");
        assert_eq!(std::fs::read_dir(&models).unwrap().count(), 1);
    }

    #[test]
    fn a_single_file_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("model.pt");
        std::fs::write(&source, "weights").unwrap();
        let sealed = seal(&folder.path().join("models"), &source, false).unwrap();
        assert_eq!(sealed.path.file_name().unwrap(), "model.pt");
        assert_eq!((sealed.digest, sealed.bytes), (Digest::of(b"weights"), 7));
        assert!(!source.metadata().unwrap().permissions().readonly(), "a copy leaves the source as it was");
    }

    #[test]
    fn an_empty_folder_is_no_model() {
        let folder = tempfile::tempdir().unwrap();
        let (source, models) = (folder.path().join("model"), folder.path().join("models"));
        std::fs::create_dir(&source).unwrap();
        seal(&models, &source, false).unwrap_err();
        assert_eq!(std::fs::read_dir(&models).unwrap().count(), 0);
    }
}
