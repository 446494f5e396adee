//! A step's command as bash gets it: bindings replaced as plain text, optional blocks kept or dropped
//! (reference, sections 4.3 and 4.4).

use std::fmt::Write as _;

use crate::spec::expr::{Expr, Piece, Template};

/// The values of the names in a command.
pub trait Names {
    /// The text for an input; `None` when it is optional and was left out.
    fn input(&self, name: &str) -> Option<String>;
    /// The path of an output.
    fn output(&self, name: &str) -> Option<String>;
    /// The step's job name.
    fn job(&self) -> String;
    /// The pipeline's default datastore.
    fn default_datastore(&self) -> String;
}

/// Replaces every expression. No quoting, no escaping, as on the service: the shell sees the bare text.
///
/// An optional block stays, without its brackets, when every input in it has a value. An input without a value outside
/// such a block becomes an empty text. Unknown expressions stay as written.
#[must_use]
pub fn expand(command: &str, names: &dyn Names) -> String {
    let mut out = String::with_capacity(command.len());
    for piece in &Template::command(command).pieces {
        match piece {
            Piece::Optional(inner) => {
                let complete = inner.iter().all(|piece| match piece {
                    Piece::Expr(Expr::Input(name), _) => names.input(name).is_some(),
                    _ => true,
                });
                if complete {
                    inner.iter().for_each(|piece| one(&mut out, piece, names));
                }
            }
            piece => one(&mut out, piece, names),
        }
    }
    out
}

/// An address that a step reads by itself, with what a shell would act on in percent-encoding, which servers read as the
/// same: the name of a blob is not part of a command. `&` stays where it parts the parameters of a query, as the service
/// sends it.
#[must_use]
pub fn address_word(address: &str) -> String {
    let query = address.find('?').filter(|_| address.starts_with("http")).unwrap_or(address.len());
    let mut out = String::with_capacity(address.len());
    for (at, c) in address.char_indices() {
        let parts = at > query && c == '&' && is_parameter(&address[at + 1..]);
        if parts || c.is_alphanumeric() || "/._-+=:,@%?#".contains(c) {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Whether `name=…` follows, which a shell takes as an assignment, and not as a command.
fn is_parameter(rest: &str) -> bool {
    let name = rest.split(['=', '&']).next().unwrap_or_default();
    rest[name.len()..].starts_with('=')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn one(out: &mut String, piece: &Piece, names: &dyn Names) {
    match piece {
        Piece::Text(text) => out.push_str(text),
        Piece::Expr(Expr::Input(name), _) => out.push_str(&names.input(name).unwrap_or_default()),
        Piece::Expr(Expr::Output(name), written) => {
            out.push_str(&names.output(name).unwrap_or_else(|| written.clone()));
        }
        Piece::Expr(Expr::Name, _) => out.push_str(&names.job()),
        Piece::Expr(Expr::DefaultDatastore, _) => out.push_str(&names.default_datastore()),
        Piece::Expr(_, written) => out.push_str(written),
        Piece::Optional(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Some1;

    impl Names for Some1 {
        fn input(&self, name: &str) -> Option<String> {
            (name == "a").then(|| "1 2".to_owned())
        }
        fn output(&self, name: &str) -> Option<String> {
            Some(format!("/out/{name}"))
        }
        fn job(&self) -> String {
            "run-step".to_owned()
        }
        fn default_datastore(&self) -> String {
            "store".to_owned()
        }
    }

    #[test]
    fn substitution_is_plain_text() {
        assert_eq!(expand("x ${{inputs.a}} ${{ outputs.m.path }} ${{name}}", &Some1), "x 1 2 /out/m run-step");
    }

    #[test]
    fn an_address_is_one_word_for_a_shell() {
        for plain in [
            "https://a.blob.core.windows.net/c/größe-1.csv?sv=1&sig=a%2Bb%3D&se=2026-01-01T00:00:00Z",
            "azureml://datastores/d/paths/a/b.csv",
            "wasbs://c@a.blob.core.windows.net/x",
        ] {
            assert_eq!(address_word(plain), plain);
        }
        for (address, word) in [
            ("https://x/a;touch y;.csv", "https://x/a%3Btouch%20y%3B.csv"),
            ("https://x/$(id)`id`|id>f<g", "https://x/%24%28id%29%60id%60%7Cid%3Ef%3Cg"),
            ("https://x/a&reboot?b=1&reboot&x-y=1&c=2", "https://x/a%26reboot?b=1%26reboot%26x-y=1&c=2"),
            ("azureml://datastores/d/paths/a?b&reboot", "azureml://datastores/d/paths/a?b%26reboot"),
            ("https://x/a\nb'c\"d\\*", "https://x/a%0Ab%27c%22d%5C%2A"),
        ] {
            assert_eq!(address_word(address), word);
        }
    }

    #[test]
    fn optional_blocks_need_all_their_inputs() {
        assert_eq!(expand("x $[[--a ${{inputs.a}}]]$[[ --b ${{inputs.b}} ]] y", &Some1), "x --a 1 2 y");
        assert_eq!(expand("$[[plain]]", &Some1), "plain");
    }
}
