//! A step's command as bash gets it: bindings replaced as plain text, optional blocks kept or dropped
//! (reference, sections 4.3 and 4.4).

use crate::spec::expr::{Expr, Piece, Template};

/// What the names in a command stand for.
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
/// of such a block becomes nothing. Expressions that mean nothing stay as written.
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
    fn optional_blocks_need_all_their_inputs() {
        assert_eq!(expand("x $[[--a ${{inputs.a}}]]$[[ --b ${{inputs.b}} ]] y", &Some1), "x --a 1 2 y");
        assert_eq!(expand("$[[plain]]", &Some1), "plain");
    }
}
