//! The files of `torch.save` and `torch.jit.save`: the zip format, the format before torch 1.6, and plain pickles.
//!
//! A reader here takes a [`Section`] and a [`Budget`] and gives [`Contents`]. The pickle inside is built by the machine
//! of `unpickle`, which executes nothing; this room knows what torch means by it: [`rebuild`] turns the calls of
//! `torch._utils` into tensors over storages, [`walk`] finds the tensors and the modules in what was saved, [`layers`]
//! says how a layer was made as `print(model)` would. [`zip`] and [`legacy`] know where the storages lie, `script` looks
//! at the code in a TorchScript archive.

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

/// Reads a lone pickle, which is no form that torch saves, for what it would import; and all that follow it, for some
/// readers go on.
///
/// # Errors
/// When it is no whole pickle.
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
                evidence.doubt("bytes that are no pickle follow the pickle");
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

/// Whether every reader of pickles ends where this one does, at the first byte that is none of a pickle's.
pub(super) fn breaks_off(file: &Section) -> bool {
    let mut stream = Stream::new(file.clone());
    let read = unpickle::read(&mut stream, Manner::Joblib, &mut Budget::default(), &mut Evidence::default());
    read.is_err_and(|error| error.ends_every_reader())
}

/// `pickle.load` takes joblib's arrays for instructions. In a model they are numbers and end it soon; only what no model
/// would say counts.
fn read_plainly(file: &Section, evidence: &mut Evidence) {
    let mut other = Evidence::default();
    let read = next(&mut Stream::new(file.clone()), Manner::Plain, &mut Budget::default(), &mut other);
    evidence.suspect(&other, crate::model_file::safety::is_dangerous);
    if read.is_err_and(|error| !error.ends_every_reader()) {
        evidence.doubt("pickle.load and joblib.load would read it differently");
    }
}

/// One pickle of a torch file.
fn pickle_of(section: Section, budget: &mut Budget, evidence: &mut Evidence) -> Result<Pickle, Error> {
    let file = section.clone();
    let mut stream = Stream::new(section);
    let pickle = next(&mut stream, Manner::Torch, budget, evidence).map_err(|e| broken(&file, &e))?;
    if stream.left() > 0 {
        evidence.doubt("bytes follow a pickle inside of the archive");
    }
    Ok(pickle)
}

/// The next pickle of a stream, with what it does noted.
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

/// An error of a tensor, with the file it is in.
fn about(file: &Section, error: Error) -> Error {
    match error {
        Error::Tensor { .. } | Error::Archive(_) => file.malformed(&error.to_string()),
        other => other,
    }
}
