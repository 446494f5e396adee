//! Paths as words of a shell. A command gets paths as plain text, and a file name must not become part of the
//! command.

use std::path::Path;

/// Whether a shell reads the path as one plain word.
#[must_use]
pub fn shell_safe(path: &Path) -> bool {
    path.to_str().is_some_and(|text| !text.is_empty() && text.chars().all(|c| c == '/' || is_plain(c)))
}

/// A file name as one plain word for a shell: `a_b.csv` for `a b.csv`. Other characters become `_`, so that the file
/// extension, by which many programs recognise a file, stays.
#[must_use]
pub fn shell_name(name: &std::ffi::OsStr) -> String {
    let plain: String = name.to_string_lossy().chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    // A name of dots only would be a folder.
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
