//! What must not be shown: values under keys that look secret, and the signature of an address.

use super::model::{Resolved, What};
use crate::secret::{MASK, mask_signatures};
use crate::yaml::Literal;

/// The last words of keys that hold secrets: `account_key`, `DB_PASSWORD`, `clientSecret`.
const SECRET: [&[&str]; 13] = [
    &["account", "key"],
    &["access", "key"],
    &["secret", "key"],
    &["private", "key"],
    &["api", "key"],
    &["shared", "key"],
    &["key", "secret"],
    &["connection", "string"],
    &["password"],
    &["passwd"],
    &["secret"],
    &["token"],
    &["pat"],
];

/// Masks a value under a key that looks secret, and signatures in the text of any other. Expressions stay: they name a
/// value and do not hold it.
pub(super) fn mask(key: &str, value: &mut Resolved) {
    if is_secret(key) {
        hide(value);
    } else if let What::Scalar(Literal::Str(text)) = &mut value.what {
        mask_signatures(text);
    } else if let What::List(items) = &mut value.what {
        items.iter_mut().for_each(|item| mask("", item));
    }
}

fn hide(value: &mut Resolved) {
    match &mut value.what {
        What::Scalar(Literal::Null | Literal::Bool(_)) | What::Unread => {}
        What::Scalar(Literal::Str(text)) if text.contains("${{") || text.is_empty() => {}
        What::Scalar(literal) => *literal = Literal::Str(MASK.to_owned()),
        What::List(items) => items.iter_mut().for_each(hide),
        // The declaration of an input that is called so; its type is no secret.
        What::Map(entries) => {
            for (_, inner) in
                entries.iter_mut().filter(|(k, _)| ["default", "value", "path", "enum"].contains(&k.as_str()))
            {
                hide(inner);
            }
        }
    }
}

/// Whether a key looks as if its value were a secret.
pub(crate) fn is_secret(key: &str) -> bool {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut after_lower = false;
    for c in key.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() && after_lower {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase() || c.is_numeric();
    }
    words.push(word);
    words.retain(|w| !w.is_empty());
    let joined = words.concat();
    let ends = |all: &[&str]| words.len() >= all.len() && words[words.len() - all.len()..] == *all;
    SECRET.iter().any(|all| ends(all) || joined == all.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_keys() {
        for key in ["account_key", "sas_token", "client_secret", "DB_PASSWORD", "clientSecret", "apiKey", "pat", "PAT"]
        {
            assert!(is_secret(key), "{key}");
        }
        for key in ["client_id", "max_tokens", "tokenizer", "path", "pattern", "key", "partition_keys", "monkey", ""] {
            assert!(!is_secret(key), "{key}");
        }
    }
}
