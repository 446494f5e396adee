//! The files of `torch.save` and `torch.jit.save`: the zip format, the format before torch 1.6, and plain pickles.
//!
//! A reader takes a [`Section`] and a [`Budget`] and returns [`Contents`]. The machine in `unpickle` builds the
//! pickle's values without executing anything; this module interprets them. [`rebuild`] turns the calls of
//! `torch._utils` into tensors over storages, [`walk`] finds the tensors and modules in the saved object, and
//! [`layers`] formats the arguments of a layer as `print(model)` does. [`zip`] and [`legacy`] find the storages, and
//! `script` checks the code in a TorchScript archive.

pub mod layers;
pub mod legacy;
pub mod rebuild;
mod script;
pub mod walk;
pub mod zip;

use crate::model_file::Error;
use crate::model_file::contents::{Contents, Kind};
use crate::model_file::safety::conduct;
use crate::model_file::source::Section;
use crate::model_file::unpickle::{self, Budget, Evidence, Manner, Pickle, PickleError, Stream};
use rebuild::Storages;

/// Reads a single pickle, which is not a format that torch writes, to find out what it would import. Pickles that
/// follow it are read too, because some readers do so.
///
/// # Errors
/// When it is not a complete pickle.
pub fn read_pickle(file: &Section, budget: &mut Budget, evidence: &mut Evidence) -> Result<Contents, Error> {
    let mut stream = Stream::new(file.clone());
    let pickle = next(&mut stream, Manner::Joblib, budget, evidence).map_err(|e| broken(file, &e))?;
    if evidence.imports().iter().any(|(module, _)| module == "joblib.numpy_pickle") {
        read_plainly(file, evidence);
    }
    let mut contents = walk::contents(&pickle, &Storages::default()).map_err(|e| about(file, e))?;
    contents.kind = Kind::Unknown;
    evidence.reservation("it is a plain pickle, not a file of torch.save");
    let mut more = 0;
    while stream.left() > 0 {
        match next(&mut stream, Manner::Joblib, budget, evidence) {
            Ok(_) => more += 1,
            Err(error) if error.ends_every_reader() => {
                evidence.doubt("the pickle is followed by data that is not a pickle");
                break;
            }
            Err(error) => return Err(broken(file, &error)),
        }
    }
    if more > 0 {
        contents
            .notes
            .push(format!("{more} more {} the first", if more == 1 { "pickle follows" } else { "pickles follow" }));
    }
    Ok(contents)
}

/// Whether every reader of pickles stops where this one does, at the first byte that is not a valid instruction.
pub(super) fn breaks_off(file: &Section) -> bool {
    let mut stream = Stream::new(file.clone());
    let read = unpickle::read(&mut stream, Manner::Joblib, &mut Budget::default(), &mut Evidence::default());
    read.is_err_and(|error| error.ends_every_reader())
}

/// `pickle.load` reads joblib's arrays as instructions. In a model, they are numbers, which soon stop it. Only what is
/// dangerous counts here.
fn read_plainly(file: &Section, evidence: &mut Evidence) {
    let mut other = Evidence::default();
    let read = next(&mut Stream::new(file.clone()), Manner::Plain, &mut Budget::default(), &mut other);
    evidence.suspect(&other, crate::model_file::safety::is_dangerous);
    if read.is_err_and(|error| !error.ends_every_reader()) {
        evidence.doubt("pickle.load and joblib.load would read it differently");
    }
}

/// Reads one pickle of a torch file.
fn pickle_of(section: Section, budget: &mut Budget, evidence: &mut Evidence) -> Result<Pickle, Error> {
    let file = section.clone();
    let mut stream = Stream::new(section);
    let pickle = next(&mut stream, Manner::Torch, budget, evidence).map_err(|e| broken(&file, &e))?;
    if stream.left() > 0 {
        evidence.doubt("a pickle in the archive is followed by extra data");
    }
    Ok(pickle)
}

/// Reads the next pickle of a stream, and records what it does.
fn next(
    stream: &mut Stream,
    manner: Manner,
    budget: &mut Budget,
    evidence: &mut Evidence,
) -> Result<Pickle, PickleError> {
    let pickle = unpickle::read(stream, manner, budget, evidence)?;
    conduct::observe(&pickle, evidence);
    Ok(pickle)
}

fn broken(file: &Section, error: &PickleError) -> Error {
    file.malformed(&error.to_string())
}

/// An error in a tensor, with the path of the file.
fn about(file: &Section, error: Error) -> Error {
    match error {
        Error::Tensor { .. } | Error::Archive(_) => file.malformed(&error.to_string()),
        other => other,
    }
}
