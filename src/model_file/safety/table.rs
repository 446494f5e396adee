//! The lists of imports: harmless ones, those of ordinary models, and those that no model needs. They are parsed once.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::model_file::unpickle::Uses;

type Names = HashMap<(&'static str, &'static str), Uses>;

static HARMLESS: LazyLock<Names> = LazyLock::new(|| named(include_str!("harmless.txt")));
static UNUSUAL: LazyLock<Names> = LazyLock::new(|| named(include_str!("unusual.txt")));
static WEIGHTS_ONLY: LazyLock<Names> = LazyLock::new(|| named(include_str!("weights_only.txt")));
static DENIED: LazyLock<HashMap<&'static str, HashSet<&'static str>>> =
    LazyLock::new(|| words(include_str!("denied.txt")));

/// The uses in which an import is harmless. `None` if it is not known to be harmless.
pub(super) fn harmless(module: &str, name: &str) -> Option<Uses> {
    HARMLESS.get(&(module, name)).copied()
}

/// Whether ordinary models use it in this way, although it is not safe.
pub(super) fn is_unusual(module: &str, name: &str, uses: Uses) -> bool {
    UNUSUAL.get(&(module, name)).is_some_and(|allowed| uses.within(*allowed))
}

/// Whether `torch.load(weights_only=True)` allows the import.
pub fn is_weights_only(module: &str, name: &str) -> bool {
    let module = if module == "__builtin__" { "builtins" } else { module };
    WEIGHTS_ONLY.contains_key(&(module, name))
}

/// Whether a top-level module is in Python's standard library.
pub(super) fn is_standard(module: &str) -> bool {
    is_denied("standard library", module.trim_start_matches('_'))
}

/// Whether no model needs anything in a package.
pub(super) fn is_denied_package(package: &str) -> bool {
    is_denied("packages", package)
}

/// Whether no model needs a module, or a module that contains it.
pub(super) fn is_denied_module(module: &str) -> bool {
    let mut ends = module.match_indices('.').map(|(at, _)| at).chain([module.len()]);
    ends.any(|end| is_denied("modules", &module[..end]))
}

/// Whether this name is dangerous in any module.
pub(super) fn is_denied_name(name: &str) -> bool {
    is_denied("names", name)
}

fn is_denied(list: &str, word: &str) -> bool {
    DENIED.get(list).is_some_and(|words| words.contains(word))
}

/// Parses lines such as `module module = name name` under headings that list the allowed uses of the names.
fn named(text: &'static str) -> Names {
    let mut all = Names::new();
    let mut uses = Uses::NAMED;
    for line in lines(text) {
        if let Some(heading) = heading(line) {
            uses = heading.split_whitespace().fold(Uses::NAMED, |uses, word| uses.and(use_of(word)));
        } else if let Some((modules, names)) = line.split_once(" = ") {
            for module in modules.split_whitespace() {
                all.extend(names.split_whitespace().map(|name| ((module, name), uses)));
            }
        }
    }
    all
}

fn use_of(word: &str) -> Uses {
    match word {
        // A class that is only data may be constructed from any text.
        "called" => Uses::CALLED.and(Uses::TEXT),
        "made" => Uses::MADE,
        "state" => Uses::STATE,
        "items" => Uses::ITEMS,
        "entries" => Uses::ENTRIES,
        "any" => ["called", "made", "state", "items", "entries"].into_iter().map(use_of).fold(Uses::NAMED, Uses::and),
        _ => Uses::NAMED,
    }
}

/// Parses words under headings.
fn words(text: &'static str) -> HashMap<&'static str, HashSet<&'static str>> {
    let mut all: HashMap<_, HashSet<_>> = HashMap::new();
    let mut list = "";
    for line in lines(text) {
        match heading(line) {
            Some(heading) => list = heading,
            None => all.entry(list).or_default().extend(line.split_whitespace()),
        }
    }
    all
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn heading(line: &'static str) -> Option<&'static str> {
    line.strip_prefix('[')?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_read_and_do_not_contradict_each_other() {
        assert!(harmless("torch", "FloatStorage") == Some(Uses::NAMED) && is_weights_only("torch", "FloatStorage"));
        assert!(harmless("collections", "OrderedDict").is_some_and(|uses| uses.has(Uses::STATE)));
        assert!(is_standard("_posixsubprocess") && is_standard("os") && !is_standard("torch"));
        assert!(is_denied_module("torch.utils.collect_env") && !is_denied_module("torch.nn.modules.linear"));
        assert!(DENIED.len() == 4 && HARMLESS.len() > 300 && UNUSUAL.len() > 100);
        for (module, _) in HARMLESS.keys().chain(UNUSUAL.keys()) {
            assert!(!module.is_empty() && !module.contains(['[', '=', '#']), "{module}");
        }
    }
}
