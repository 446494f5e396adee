//! "Did you mean": finds the valid word that is most similar.

/// The candidate that is most similar to `word`, if it is similar enough: at most one edit for each three characters
/// (swapped neighbours count as one edit), or a difference only in case and `-`/`_`.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| s.to_lowercase().replace('-', "_");
    let wanted = plain(word);
    // For words of one or two letters, one edit is too much.
    let allowed = match wanted.chars().count() {
        0..3 => 0,
        length => (length / 3).max(1),
    };
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&wanted, &plain(c)), c))
        .filter(|(distance, c)| *distance <= allowed && *c != word)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// A list in a sentence: `'a', 'b' or 'c'`.
#[must_use]
pub fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut quoted: Vec<String> = words.into_iter().map(|w| format!("'{w}'")).collect();
    match quoted.pop() {
        None => "nothing".to_owned(),
        Some(last) if quoted.is_empty() => last,
        Some(last) => format!("{} or {last}", quoted.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_of_the_finger_and_nothing_far_fetched() {
        let fields = ["command", "component", "inputs", "outputs"];
        assert_eq!(nearest("comand", fields), Some("command"));
        assert_eq!(nearest("inputz", fields), Some("inputs"));
        assert_eq!(nearest("Inputs", fields), Some("inputs"));
        assert_eq!(nearest("zebra", fields), None);
        assert_eq!(nearest("q", ["a", "b"]), None);
    }

    #[test]
    fn lists_read_well() {
        assert_eq!(one_of(["a"]), "'a'");
        assert_eq!(one_of(["a", "b", "c"]), "'a', 'b' or 'c'");
    }
}
