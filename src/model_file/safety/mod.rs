//! Would loading this file in Python be safe? Told from what its pickles import and do, none of which is done here.
//!
//! Four verdicts. *Safe*: every byte was understood, and everything named is data or a class of torch itself that is
//! used as torch uses it ([`table`] has the list). *Unknown*: it runs code of a package or of the user, which decides
//! what loading does. *Cannot be judged*: two readers could understand the file differently, or this one not to its end.
//! *Dangerous*: something that no model needs ([`denied`]). When in doubt the worse verdict is given.
//!
//! [`conduct`] looks at the arguments that harmless functions get. Whoever registers or shows a model asks
//! [`crate::model_file::ModelFile`], which asks here.

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

/// One thing that loading would import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The module, such as `torch._utils`.
    pub module: String,
    /// The name in it.
    pub name: String,
    /// How far it can be trusted.
    pub safety: Safety,
    /// What it could do; empty when it is safe.
    pub power: String,
}

impl Import {
    /// Module and name in one, such as `os.system`.
    pub fn dotted(&self) -> String {
        crate::model_file::words::printable(&format!("{}.{}", self.module, self.name), 200)
    }

    /// Judges one import by the way it is used.
    pub fn judge(module: &str, name: &str, uses: Uses) -> Self {
        let (safety, power) = match table::harmless(module, name) {
            Some(allowed) if uses.within(allowed) => (Safety::Safe, String::new()),
            _ => denied::judge(module, name, uses),
        };
        Self { module: module.to_owned(), name: name.to_owned(), safety, power }
    }
}

/// Judges all that a file's pickles would import and do: the verdict, and the imports in order.
pub fn assess(evidence: &Evidence) -> (Safety, Vec<Import>) {
    let all = evidence.imports().iter().enumerate();
    let imports: Vec<Import> =
        all.map(|(index, (module, name))| Import::judge(module, name, evidence.uses(index))).collect();
    (overall(evidence, &imports), imports)
}

/// The worst of all that was found.
pub(crate) fn overall(evidence: &Evidence, imports: &[Import]) -> Safety {
    let when = |found: bool, safety| if found { safety } else { Safety::Safe };
    let worst = imports.iter().map(|import| import.safety).max().unwrap_or(Safety::Safe);
    worst
        .max(when(!evidence.reservations().is_empty(), Safety::Unknown))
        .max(when(!evidence.doubts().is_empty(), Safety::Unjudged))
        .max(when(!evidence.tricks().is_empty(), Safety::Dangerous))
}

/// Whether no model needs such an import, however it is used.
pub(crate) fn is_dangerous(module: &str, name: &str) -> bool {
    table::harmless(module, name).is_none() && denied::power(module, name, Uses::CALLED).is_some()
}
