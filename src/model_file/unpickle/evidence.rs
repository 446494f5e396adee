//! Records what Python would import and do if it loaded the pickles.

use std::collections::HashMap;

/// How many doubts and reservations are kept.
const KEPT: usize = 20;

/// The ways in which pickles use an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses(u8);

impl Uses {
    /// Only named.
    pub const NAMED: Self = Self(0);
    /// Called with arguments.
    pub const CALLED: Self = Self(1);
    /// Instantiated without its constructor.
    pub const MADE: Self = Self(2);
    /// A state is set in the created object.
    pub const STATE: Self = Self(4);
    /// Items are added to the created object.
    pub const ITEMS: Self = Self(8);
    /// Keys are set in the created object.
    pub const ENTRIES: Self = Self(16);
    /// Called with a text that could be a path, a command or code.
    pub const TEXT: Self = Self(32);

    /// All uses of both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it includes all uses in `other`.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether all uses are in `allowed`.
    pub const fn within(self, allowed: Self) -> bool {
        allowed.has(self)
    }
}

/// What the pickles of a file would import and do.
#[derive(Debug, Default)]
pub struct Evidence {
    imports: Vec<(String, String)>,
    uses: Vec<Uses>,
    known: HashMap<(String, String), usize>,
    tricks: Vec<&'static str>,
    doubts: Vec<String>,
    reservations: Vec<String>,
    strict: Option<String>,
}

impl Evidence {
    /// Module and name of each import, in the order of their first appearance.
    pub fn imports(&self) -> &[(String, String)] {
        &self.imports
    }

    /// How the import with that index is used.
    pub fn uses(&self, index: usize) -> Uses {
        self.uses.get(index).copied().unwrap_or_default()
    }

    /// Operations that no model's pickle needs.
    pub fn tricks(&self) -> &[&'static str] {
        &self.tricks
    }

    /// Why the safety cannot be determined: readers may understand the file differently, or this one did not understand
    /// it.
    pub fn doubts(&self) -> &[String] {
        &self.doubts
    }

    /// Why the file is never called safe, whatever it imports.
    pub fn reservations(&self) -> &[String] {
        &self.reservations
    }

    /// The first thing that `torch.load(weights_only=True)` would refuse, except for imports.
    pub fn strict(&self) -> Option<&str> {
        self.strict.as_deref()
    }

    /// Whether nothing would be done: no import is used, and there is no trick.
    pub fn is_idle(&self) -> bool {
        self.uses.iter().all(|uses| *uses == Uses::NAMED) && self.tricks.is_empty()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.imports.is_empty() && self.tricks.is_empty() && self.doubts.is_empty()
    }

    pub(crate) fn import(&mut self, module: &str, name: &str) {
        let import = (module.to_owned(), name.to_owned());
        if !self.known.contains_key(&import) {
            self.known.insert(import.clone(), self.imports.len());
            self.imports.push(import);
            self.uses.push(Uses::NAMED);
        }
    }

    pub(crate) fn used(&mut self, import: &(String, String), uses: Uses) {
        if let Some(known) = self.known.get(import).and_then(|&index| self.uses.get_mut(index)) {
            *known = known.and(uses);
        }
    }

    pub(crate) fn trick(&mut self, what: &'static str) {
        if !self.tricks.contains(&what) {
            self.tricks.push(what);
        }
    }

    pub(crate) fn doubt(&mut self, why: impl Into<String>) {
        keep(&mut self.doubts, why.into());
    }

    pub(crate) fn reservation(&mut self, why: impl Into<String>) {
        keep(&mut self.reservations, why.into());
    }

    pub(crate) fn refused_by_strict(&mut self, what: impl FnOnce() -> String) {
        self.strict.get_or_insert_with(what);
    }

    /// Adds everything that another reader recorded.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (import, uses) in other.imports.iter().zip(other.uses) {
            self.import(&import.0, &import.1);
            self.used(import, uses);
        }
        other.tricks.into_iter().for_each(|trick| self.trick(trick));
        other.doubts.into_iter().for_each(|doubt| self.doubt(doubt));
        other.reservations.into_iter().for_each(|reservation| self.reservation(reservation));
        if let Some(strict) = other.strict {
            self.refused_by_strict(|| strict);
        }
    }

    /// Adds only what is dangerous, for another reader that would understand the same bytes differently.
    pub(crate) fn suspect(&mut self, other: &Self, is_dangerous: impl Fn(&str, &str) -> bool) {
        for (module, name) in other.imports.iter().filter(|(module, name)| is_dangerous(module, name)) {
            self.import(module, name);
        }
    }
}

fn keep(list: &mut Vec<String>, why: String) {
    if list.len() < KEPT && !list.contains(&why) {
        list.push(why);
    }
}
