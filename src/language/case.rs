//! Words in `snake_case` and in `camelCase`, as the SDK turns one into the other.

/// Snake case, as the SDK makes it of camel case.
pub(super) fn snake_case(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut snake = String::with_capacity(text.len() + 4);
    for (i, c) in chars.iter().enumerate() {
        if c.is_ascii_uppercase() && i > 0 {
            let before = chars[i - 1];
            let after = chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
            if before.is_ascii_lowercase() || before.is_ascii_digit() || after && before != '_' {
                snake.push('_');
            }
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// Camel case, as the SDK makes it of snake case.
pub(super) fn camel_case(text: &str) -> String {
    let mut camel = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next) if c == '_' && next.is_ascii_alphanumeric() => {
                camel.extend(next.to_uppercase());
                chars.next();
            }
            _ => camel.push(c),
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_folded_as_the_sdk_does() {
        assert_eq!(snake_case("NormMacroRecall"), "norm_macro_recall");
        assert_eq!(snake_case("AUCWeighted"), "auc_weighted");
        assert_eq!(snake_case("already_snake"), "already_snake");
        assert_eq!(camel_case("chat_completion"), "chatCompletion");
        assert_eq!(camel_case("chatCompletion"), "chatCompletion");
    }
}
