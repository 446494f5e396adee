//! Binding expressions: `${{parent.inputs.x}}`, `${{parent.jobs.j.outputs.o}}`, `${{inputs.x}}` … and the optional
//! blocks `$[[ … ]]` of commands (reference, section 4).
//!
//! Pure text work: what a name refers to is found out by `plan`.

/// What an expression refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// `parent.inputs.x`: an input of the enclosing pipeline.
    ParentInput(String),
    /// `parent.outputs.x`: an output of the enclosing pipeline.
    ParentOutput(String),
    /// `parent.jobs.j.outputs.o`: an output of another node.
    JobOutput(String, String),
    /// `parent.jobs.j.inputs.i`: whatever that input of another node is.
    JobInput(String, String),
    /// `inputs.x` (also `inputs.x.path`): an input of the component itself.
    Input(String),
    /// `outputs.x` (also `outputs.x.path`): an output of the component itself.
    Output(String),
    /// `search_space.x`: a parameter of a sweep.
    SearchSpace(String),
    /// `name`: the job's name.
    Name,
    /// `output_name`: the name of the output whose path contains it.
    OutputName,
    /// `default_datastore`: the pipeline's default datastore.
    DefaultDatastore,
    /// Anything else, kept as written between the braces.
    Other(String),
}

/// A piece of a text with expressions in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Plain text.
    Text(String),
    /// An expression and how it was written, braces included.
    Expr(Expr, String),
    /// An optional block `$[[ … ]]` with what is in it.
    Optional(Vec<Piece>),
}

/// A text with expressions in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Its pieces in order.
    pub pieces: Vec<Piece>,
}

impl Template {
    /// Reads bindings only: the text of node inputs, environment variables and the like.
    #[must_use]
    pub fn binding(text: &str) -> Self {
        Self { pieces: pieces(text) }
    }

    /// Reads a command: bindings and optional blocks. An unclosed `$[[` is plain text, as on the service.
    #[must_use]
    pub fn command(text: &str) -> Self {
        let mut all = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("$[[") {
            let Some(length) = rest[start..].find("]]") else { break };
            all.extend(pieces(&rest[..start]));
            all.push(Piece::Optional(pieces(&rest[start + 3..start + length])));
            rest = &rest[start + length + 2..];
        }
        all.extend(pieces(rest));
        Self { pieces: all }
    }

    /// The expression, when the text is nothing but one.
    #[must_use]
    pub fn single(&self) -> Option<&Expr> {
        match self.pieces.as_slice() {
            [Piece::Expr(expr, _)] => Some(expr),
            _ => None,
        }
    }

    /// Every expression with how it was written, and whether it is in an optional block.
    pub fn expressions(&self) -> impl Iterator<Item = (&Expr, &str, bool)> {
        self.pieces.iter().flat_map(|piece| match piece {
            Piece::Text(_) => Vec::new(),
            Piece::Expr(expr, written) => vec![(expr, written.as_str(), false)],
            Piece::Optional(inner) => inner
                .iter()
                .filter_map(|p| match p {
                    Piece::Expr(expr, written) => Some((expr, written.as_str(), true)),
                    _ => None,
                })
                .collect(),
        })
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${{") {
        let Some(length) = rest[start..].find("}}") else { break };
        if start > 0 {
            all.push(Piece::Text(rest[..start].to_owned()));
        }
        let written = &rest[start..start + length + 2];
        all.push(Piece::Expr(reference(written[3..written.len() - 2].trim()), written.to_owned()));
        rest = &rest[start + length + 2..];
    }
    if !rest.is_empty() {
        all.push(Piece::Text(rest.to_owned()));
    }
    all
}

fn reference(body: &str) -> Expr {
    let other = || Expr::Other(body.to_owned());
    let port = |text: &str| (!text.is_empty() && !text.contains(char::is_whitespace)).then(|| text.to_owned());
    let node = |text: &str, side: &str| -> Option<(String, String)> {
        let (job, rest) = text.split_once('.')?;
        Some((port(job)?, port(rest.strip_prefix(side)?.strip_prefix('.')?)?))
    };
    match body {
        "name" => return Expr::Name,
        "output_name" => return Expr::OutputName,
        "default_datastore" => return Expr::DefaultDatastore,
        _ => {}
    }
    if let Some(rest) = body.strip_prefix("parent.") {
        return if let Some(name) = rest.strip_prefix("inputs.").and_then(port) {
            Expr::ParentInput(name)
        } else if let Some(name) = rest.strip_prefix("outputs.").and_then(port) {
            Expr::ParentOutput(name)
        } else if let Some(jobs) = rest.strip_prefix("jobs.") {
            match (node(jobs, "outputs"), node(jobs, "inputs")) {
                (Some((job, output)), _) => Expr::JobOutput(job, output),
                (_, Some((job, input))) => Expr::JobInput(job, input),
                _ => other(),
            }
        } else {
            other()
        };
    }
    let own = |name: String| name.strip_suffix(".path").map_or(name.clone(), str::to_owned);
    if let Some(name) = body.strip_prefix("inputs.").and_then(port) {
        Expr::Input(own(name))
    } else if let Some(name) = body.strip_prefix("outputs.").and_then(port) {
        Expr::Output(own(name))
    } else if let Some(name) = body.strip_prefix("search_space.").and_then(port) {
        Expr::SearchSpace(name)
    } else {
        other()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_are_found_with_and_without_inner_spaces() {
        let single = |text| Template::binding(text).single().cloned();
        assert_eq!(single("${{parent.inputs.a}}"), Some(Expr::ParentInput("a".into())));
        assert_eq!(single("${{ parent.inputs.g.a }}"), Some(Expr::ParentInput("g.a".into())));
        assert_eq!(single("${{parent.jobs.t.outputs.m}}"), Some(Expr::JobOutput("t".into(), "m".into())));
        assert_eq!(single("${{parent.jobs.t.inputs.m}}"), Some(Expr::JobInput("t".into(), "m".into())));
        assert_eq!(single("${{inputs.x.path}}"), Some(Expr::Input("x".into())));
        assert_eq!(single("x${{inputs.x}}"), None);
    }

    #[test]
    fn optional_blocks_hold_their_expressions() {
        let template = Template::command("run $[[--raw ${{inputs.raw}}]] end");
        assert_eq!(
            template.pieces,
            [
                Piece::Text("run ".into()),
                Piece::Optional(vec![
                    Piece::Text("--raw ".into()),
                    Piece::Expr(Expr::Input("raw".into()), "${{inputs.raw}}".into())
                ]),
                Piece::Text(" end".into()),
            ]
        );
    }

    #[test]
    fn what_is_not_closed_is_text() {
        assert_eq!(Template::command("a ${{inputs.x").pieces, [Piece::Text("a ${{inputs.x".into())]);
        assert_eq!(Template::command("if $[[ x").pieces, [Piece::Text("if $[[ x".into())]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_lost(text in "[a-z.{}$\\[\\] ]{0,60}") {
            let mut back = String::new();
            for piece in &Template::binding(&text).pieces {
                match piece {
                    Piece::Text(t) | Piece::Expr(_, t) => back.push_str(t),
                    Piece::Optional(_) => unreachable!("bindings have no optional blocks"),
                }
            }
            proptest::prop_assert_eq!(back, text);
        }
    }
}
