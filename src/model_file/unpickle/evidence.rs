//! What Python would have imported and done, had it loaded the pickles.

use std::collections::HashMap;

/// How many doubts and reservations are kept; more would say nothing new.
const KEPT: usize = 20;

/// The ways in which pickles use something that they import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses(u8);

impl Uses {
    /// Named, and nothing else.
    pub const NAMED: Self = Self(0);
    /// Called with arguments.
    pub const CALLED: Self = Self(1);
    /// An object of it is made without its constructor.
    pub const MADE: Self = Self(2);
    /// A state is laid into what it made.
    pub const STATE: Self = Self(4);
    /// Items are added to what it made.
    pub const ITEMS: Self = Self(8);
    /// Keys are set in what it made.
    pub const ENTRIES: Self = Self(16);
    /// It is called with a text that could be a path, a command or code.
    pub const TEXT: Self = Self(32);

    /// Both together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is among these.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is done that is not in `allowed`.
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

    /// How the import of that number is used.
    pub fn uses(&self, index: usize) -> Uses {
        self.uses.get(index).copied().unwrap_or_default()
    }

    /// What no pickle of a model does, in words.
    pub fn tricks(&self) -> &[&'static str] {
        &self.tricks
    }

    /// Why two readers could understand the file differently, or this one not at all: it cannot be judged.
    pub fn doubts(&self) -> &[String] {
        &self.doubts
    }

    /// Why the file is never called safe, whatever its imports are.
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

    /// Whether nothing was found at all.
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

    /// Takes over all that another reader found.
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

    /// Takes over only what is dangerous: another reader of the same bytes would come upon it.
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
