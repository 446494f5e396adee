//! Paths as a shell reads them: a command gets them as bare text, and whoever named a file does not write the command.

use std::path::Path;

/// Whether a shell takes the path as one plain word.
#[must_use]
pub fn shell_safe(path: &Path) -> bool {
    path.to_str().is_some_and(|text| !text.is_empty() && text.chars().all(|c| c == '/' || is_plain(c)))
}

/// The name of a file as one plain word for a shell: `a_b.csv` for `a b.csv`. Characters that a shell reads otherwise
/// become `_`, so that the ending, by which many programs know a kind of file, stays.
#[must_use]
pub fn shell_name(name: &std::ffi::OsStr) -> String {
    let plain: String = name.to_string_lossy().chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    // What is only dots names a folder.
    if plain.chars().all(|c| c == '.') { "data".to_owned() } else { plain }
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "._-+=:,@%".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_become_plain_words() {
        for (name, plain) in [
            ("a b.csv", "a_b.csv"),
            ("a;x`y`$(z).csv", "a_x_y___z_.csv"),
            ("größe-1.txt", "größe-1.txt"),
            ("..", "data"),
        ] {
            assert_eq!(shell_name(name.as_ref()), plain);
            assert!(shell_safe(Path::new(plain)));
        }
    }
}
