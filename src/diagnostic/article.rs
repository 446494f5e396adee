//! Chooses the article of a word that is inserted into a message, such as a kind, a class or a number.

/// A word with `a` or `an`, according to its pronunciation: `an environment`, `a uri_folder`, `an 8-16-2`.
#[must_use]
pub fn with_article(word: &str) -> String {
    let spoken = word.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| spoken.starts_with(beginning));
    // Pronounced with a consonant, as in `you` or `one`.
    let hides_consonant = begins(&["uni", "uri", "url", "use", "util", "eu", "one"]);
    // Pronounced with a vowel: `em-el`, `aitch-tee`, and some numbers.
    let hides_vowel = begins(&["mlflow", "mltable", "http"]) || says_vowel(&spoken);
    let is_vowel = begins(&["a", "e", "i", "o", "u"]) && !hides_consonant;
    format!("{} {word}", if is_vowel || hides_vowel { "an" } else { "a" })
}

/// Whether a text begins with a number such as 8, 80 or 11, but not 110.
fn says_vowel(text: &str) -> bool {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = &text[..digits];
    number.starts_with('8') || (digits % 3 == 2 && (number.starts_with("11") || number.starts_with("18")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_article_is_the_one_that_is_spoken() {
        for right in [
            "an environment",
            "an automl job",
            "an input",
            "an output",
            "an asset",
            "an azure_blob",
            "an Embedding",
            "an Identity",
            "an mltable",
            "an mlflow_model",
            "an MLTable input",
            "an OnlineDeployment",
            "an index",
            "an experiment",
            "an 8-16-2",
            "an 11-3",
            "an 18-4-2",
            "an 80-2",
            "an 'http:' address",
            "an unset value",
            "a uri_folder",
            "a uri_file",
            "a user",
            "a unit",
            "a OneLake",
            "a job",
            "a command",
            "a sweep",
            "a model",
            "a mapping",
            "a triton_model",
            "a custom_model",
            "a data asset",
            "a schedule",
            "a compute",
            "a workspace",
            "a registry",
            "a feature set",
            "a parallel task",
            "a 'ftp:' address",
            "a 4-8-3",
            "a 110-2",
            "a 1-8",
            "a BatchNorm1d",
            "a",
            "a …",
        ] {
            let word = right.split_once(' ').map_or("", |(_, word)| word);
            assert_eq!(with_article(word).trim_end(), right);
        }
    }
}
