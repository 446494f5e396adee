//! Assesses whether loading a file in Python would be safe, from what its pickles import and do. Nothing is executed
//! here.
//!
//! There are four levels. *Safe*: every byte was understood, and everything named is data or a class of torch that is
//! used in torch's own way ([`table`] has the list). *Unknown*: loading runs code of a package or of the user. *Cannot
//! be judged*: two readers could understand the file differently, or this one did not understand all of it.
//! *Dangerous*: something that no model needs ([`denied`]). In doubt, the worse level is returned.
//!
//! [`conduct`] checks the arguments of harmless functions. Other modules use [`crate::model_file::ModelFile`], which
//! calls this one.

pub mod conduct;
mod denied;
mod level;
mod table;
#[cfg(test)]
mod tests;

use crate::model_file::unpickle::{Evidence, Uses};
pub use denied::package;
pub use level::Safety;
pub use table::is_weights_only;

/// One import that loading would make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The module, such as `torch._utils`.
    pub module: String,
    /// The name in the module.
    pub name: String,
    /// Its safety.
    pub safety: Safety,
    /// What it could do. Empty if it is safe.
    pub power: String,
}

impl Import {
    /// Module and name together, such as `os.system`.
    pub fn dotted(&self) -> String {
        crate::model_file::words::printable(&format!("{}.{}", self.module, self.name), 200)
    }

    /// Rates an import by the way it is used.
    pub fn judge(module: &str, name: &str, uses: Uses) -> Self {
        let (safety, power) = match table::harmless(module, name) {
            Some(allowed) if uses.within(allowed) => (Safety::Safe, String::new()),
            _ => denied::judge(module, name, uses),
        };
        Self { module: module.to_owned(), name: name.to_owned(), safety, power }
    }
}

/// Rates everything that a file's pickles would import and do. Returns the safety, and the imports in order.
pub fn assess(evidence: &Evidence) -> (Safety, Vec<Import>) {
    let all = evidence.imports().iter().enumerate();
    let imports: Vec<Import> =
        all.map(|(index, (module, name))| Import::judge(module, name, evidence.uses(index))).collect();
    (overall(evidence, &imports), imports)
}

/// The worst of all results.
pub(crate) fn overall(evidence: &Evidence, imports: &[Import]) -> Safety {
    let when = |found: bool, safety| if found { safety } else { Safety::Safe };
    let worst = imports.iter().map(|import| import.safety).max().unwrap_or(Safety::Safe);
    worst
        .max(when(!evidence.reservations().is_empty(), Safety::Unknown))
        .max(when(!evidence.doubts().is_empty(), Safety::Unjudged))
        .max(when(!evidence.tricks().is_empty(), Safety::Dangerous))
}

/// Whether no model needs this import in any use.
pub(crate) fn is_dangerous(module: &str, name: &str) -> bool {
    table::harmless(module, name).is_none() && denied::power(module, name, Uses::CALLED).is_some()
}
