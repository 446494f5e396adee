//! The files of `torch.save` and `torch.jit.save`: the zip format, the format before torch 1.6, and plain pickles.
//!
//! A reader here takes a [`Section`] and a [`Budget`] and gives [`Contents`]. The pickle inside is built by the machine
//! of `unpickle`, which executes nothing; this room knows what torch means by it: [`rebuild`] turns the calls of
//! `torch._utils` into tensors over storages, [`walk`] finds the tensors and the modules in what was saved, [`layers`]
//! says how a layer was made as `print(model)` would. [`zip`] and [`legacy`] know where the storages lie.

pub mod layers;
pub mod legacy;
pub mod rebuild;
pub mod walk;
pub mod zip;

use crate::model_file::Error;
use crate::model_file::contents::{Contents, Kind};
use crate::model_file::source::Section;
use crate::model_file::unpickle::{self, Budget, Evidence, Pickle, PickleError, Stream};
use rebuild::Storages;

/// Reads a lone pickle, which is no form that torch saves, for what it would import.
///
/// # Errors
/// When it is no whole pickle.
pub fn read_pickle(file: &Section, budget: &mut Budget, evidence: &mut Evidence) -> Result<Contents, Error> {
    let mut stream = Stream::new(file.clone());
    let pickle = unpickle::read(&mut stream, budget, evidence).map_err(|e| broken(file, &e))?;
    let mut contents = walk::contents(&pickle, &Storages::default()).map_err(|e| about(file, e))?;
    contents.kind = Kind::Unknown;
    contents.notes.push("a plain pickle, not a file of torch.save".to_owned());
    if stream.left() > 0 {
        contents.notes.push(format!("{} bytes follow the pickle", stream.left()));
    }
    Ok(contents)
}

/// One pickle of a file.
fn pickle_of(section: Section, budget: &mut Budget, evidence: &mut Evidence) -> Result<Pickle, Error> {
    let file = section.clone();
    unpickle::read(&mut Stream::new(section), budget, evidence).map_err(|e| broken(&file, &e))
}

fn broken(file: &Section, error: &PickleError) -> Error {
    file.malformed(&error.to_string())
}

/// An error of a tensor, with the file it is in.
fn about(file: &Section, error: Error) -> Error {
    match error {
        Error::Tensor { .. } | Error::Archive(_) => file.malformed(&error.to_string()),
        other => other,
    }
}
