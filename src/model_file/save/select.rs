//! Selects which tensors of a file are written, and under which names.

use super::Weight;
use crate::model_file::contents::{Contents, Kind, Role};
use crate::model_file::words;

/// Keys under which checkpoints store the weights of their model.
const MODEL_KEYS: [&str; 6] = ["model_state_dict", "state_dict", "model_state", "model", "module", "net"];

/// The selected tensors.
#[derive(Debug)]
pub struct Selection<'a> {
    /// The tensors under their new names.
    pub weights: Vec<Weight<'a>>,
    /// Tensors that were left out or renamed without a request, one sentence each.
    pub notes: Vec<String>,
}

/// Selects tensors whose names match one of the patterns (`*` matches any characters), and removes a prefix. Without
/// patterns and prefix, selects the model's weights: without the optimizer's state, and without the key of a
/// checkpoint.
pub fn select<'a>(contents: &'a Contents, patterns: &[String], prefix: Option<&str>) -> Selection<'a> {
    let mut notes = Vec::new();
    let mut chosen: Vec<_> = contents.tensors.iter().collect();
    let before = chosen.len();
    let mut strip = prefix.map(str::to_owned);
    if !patterns.is_empty() {
        chosen.retain(|tensor| patterns.iter().any(|pattern| matches(pattern, &tensor.name)));
    } else if contents.kind == Kind::Checkpoint {
        chosen.retain(|tensor| tensor.role != Role::Optimizer);
        if chosen.len() < before {
            notes.push(format!("skipped {} of an optimizer", tensors(before - chosen.len())));
        }
        let key = MODEL_KEYS.iter().map(|key| format!("{key}."));
        let key = key.into_iter().find(|key| chosen.iter().any(|tensor| tensor.name.starts_with(key)));
        if let (Some(key), None) = (key, prefix) {
            let all = chosen.len();
            chosen.retain(|tensor| tensor.name.starts_with(&key));
            notes.push(format!("wrote the weights under '{}', without that prefix", &key[..key.len() - 1]));
            if chosen.len() < all {
                notes.push(format!(
                    "skipped {} outside of it; use --select '*' to write all",
                    tensors(all - chosen.len())
                ));
            }
            strip = Some(key);
        }
    }
    let described = chosen.iter().filter(|tensor| tensor.special.is_some()).count();
    if patterns.is_empty() && described > 0 {
        let first = chosen.iter().find(|tensor| tensor.special.is_some()).map_or("", |tensor| &tensor.name);
        notes.push(format!(
            "skipped {} without plain values, for example '{}'",
            tensors(described),
            words::printable(first, 120)
        ));
        chosen.retain(|tensor| tensor.special.is_none());
    }
    let name = |name: &'a str| strip.as_deref().and_then(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let weights = chosen.into_iter().map(|tensor| Weight::of_file(name(&tensor.name), contents, tensor)).collect();
    Selection { weights, notes }
}

fn tensors(count: usize) -> String {
    if count == 1 { "1 tensor".to_owned() } else { format!("{count} tensors") }
}

/// Whether a name matches a pattern in which `*` matches any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("fc1.weight", "fc1.weight") && !matches("fc1", "fc1.weight"));
        assert!(matches("fc*", "fc1.weight") && matches("*.bias", "fc1.bias") && matches("*", ""));
        assert!(matches("a*b*c", "a-b-b-c") && !matches("a*b*c", "a-c") && !matches("ab*b", "ab"));
    }
}
