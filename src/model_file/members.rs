//! Inspects all members of a zip: archives may contain other archives and pickles, which any program may load.

use crate::model_file::contents::{Contents, Kind};
use crate::model_file::names;
use crate::model_file::source::Section;
use crate::model_file::torch_file::zip;
use crate::model_file::unpickle::{Budget, Evidence};
use crate::model_file::zip_directory::ZipDirectory;
use crate::model_file::{Error, export, skops, words};

/// Reads a file of any kind. Archives call it for their members.
pub(super) type Read = fn(&Section, &mut Budget, &mut Evidence, u8) -> Result<Contents, Error>;

/// Reads an archive: of `torch.save`, of `torch.export`, or any other zip.
///
/// # Errors
/// When a torch archive is incomplete, or archives are nested too deeply.
pub(super) fn read(
    directory: &ZipDirectory,
    budget: &mut Budget,
    evidence: &mut Evidence,
    deep: u8,
    read: Read,
) -> Result<Contents, Error> {
    let Some(deep) = deep.checked_sub(1) else {
        return Err(directory.file().malformed("has too many nested archives"));
    };
    let torch = zip::is_torch(directory);
    if torch && zip::is_torchscript(directory) {
        judge(directory, budget, evidence, (deep, read), &|name| {
            let own = ["code/", "constants/", "tensors/", "extra/"].iter().any(|folder| name.starts_with(folder));
            own || zip::is_own(name) || !name.contains('/') && name.ends_with(".pkl")
        });
        return zip::read(directory, budget, evidence);
    }
    if torch {
        judge(directory, budget, evidence, (deep, read), &zip::is_own);
        if !directory.is_stored() {
            evidence.reservation("its members are compressed, which torch.save never does");
        }
        return zip::read(directory, budget, evidence);
    }
    if export::is_export(directory) {
        let raw = export::raw_members(directory);
        judge(directory, budget, evidence, (deep, read), &|name| raw.contains(name) || is_about_export(name));
        return export::read(directory, evidence);
    }
    judge(directory, budget, evidence, (deep, read), &|_| false);
    if directory.has(".data/extern_modules") || directory.has(".data/python_version") {
        evidence.doubt("it is an archive of torch.package, which contains Python code");
    }
    if directory.has(skops::TREE) {
        skops::look(directory, evidence);
    }
    evidence.reservation("it is a zip archive that torch did not write");
    let mut contents = Contents::new(Kind::Unknown);
    contents.notes.push("a zip archive that is not a torch archive: it has no data.pkl".to_owned());
    Ok(contents)
}

/// Members of an export with a single word or JSON, which the export reader checks.
fn is_about_export(name: &str) -> bool {
    name.ends_with(".json")
        || matches!(
            name,
            "archive_format" | "archive_version" | "byteorder" | "version" | ".data/version" | ".data/serialization_id"
        )
}

fn judge(
    directory: &ZipDirectory,
    budget: &mut Budget,
    evidence: &mut Evidence,
    (deep, read): (u8, Read),
    is_own: &dyn Fn(&str) -> bool,
) {
    for name in directory.names() {
        if is_own(name) || name.ends_with('/') {
            continue;
        }
        let shown = words::printable(name, 80);
        if names::is_native(name) || names::is_code(name) {
            evidence.doubt(format!("it contains code: {shown}"));
            continue;
        }
        let read = match directory.member(name) {
            Ok(Some(member)) => read(&member.within(name), budget, evidence, deep),
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        match read {
            Ok(_) => evidence.reservation(format!("it contains {shown}, which may be loaded too")),
            Err(Error::NoModel { .. }) if names::is_data(name) => {}
            Err(Error::NoModel { .. }) => evidence.reservation(format!("it contains {shown}, whose format is unknown")),
            Err(error) => {
                let why = words::printable(&error.to_string(), 200);
                evidence.doubt(format!("it contains {shown}, which cannot be judged: {why}"));
            }
        }
    }
}
