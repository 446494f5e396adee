//! Rewrites the command line before it is parsed: like `az`, amlrun accepts several values after one `--set`.

use std::ffi::{OsStr, OsString};

/// The arguments with a `--set` before each value that follows one: `--set a=1 b=2` becomes `--set a=1 --set b=2`.
pub(super) fn spread(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut spread: Vec<OsString> = Vec::new();
    let (mut in_set, mut is_value) = (false, false);
    let mut options = true;
    for word in words {
        options &= word != "--";
        if !options {
        } else if word == "--set" {
            (in_set, is_value) = (true, true);
        } else if word.to_str().is_some_and(|text| text.starts_with("--set=")) {
            (in_set, is_value) = (true, false);
        } else if is_value {
            is_value = false;
        } else if in_set && is_setting(&word) {
            spread.push("--set".into());
        } else {
            in_set = false;
        }
        spread.push(word);
    }
    spread
}

/// Whether an argument is a path of keys with a value.
fn is_setting(word: &OsStr) -> bool {
    let key = word.to_str().and_then(|text| text.split_once('=')).map_or("", |(key, _)| key);
    !key.is_empty() && !key.starts_with('-') && key.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_after_set_has_a_set_of_its_own() {
        let spread = |line: &str| {
            let words = spread(line.split(' ').map(OsString::from));
            words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(spread("run p.yml --set a=1 b.c=x=y -q"), "run p.yml --set a=1 --set b.c=x=y -q");
        assert_eq!(spread("run --set=a=1 b=2 p.yml c=3"), "run --set=a=1 --set b=2 p.yml c=3");
        assert_eq!(spread("run --set a=1 p.yml"), "run --set a=1 p.yml");
        assert_eq!(spread("shell p.yml a -- --set a=1 b=2"), "shell p.yml a -- --set a=1 b=2");
    }
}
