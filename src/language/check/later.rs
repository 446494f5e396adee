//! What Azure refuses or misreads later: expressions where nothing resolves them, text that was meant to be an
//! expression, environments that cannot be sent. The SDK accepts all of it silently. The service refuses some, and
//! passes the rest on unchanged: to a shell, or as the name of a folder. `docs/azure-refuses-later.md` lists it.

use super::super::scalar;
use super::super::value::{Data, Entry, Object, Value};
use super::nodes::under;
use crate::diagnostic::{Diagnostic, Sources, Span};

/// What the path of an output may refer to (reference, section 3.5).
const OF_OUTPUTS: [&str; 3] = ["default_datastore", "name", "output_name"];

/// Checks a document; findings in a component file are reported once. The caller decides how severe the findings are.
pub(super) fn check(document: &Object, sources: &Sources) -> Vec<Diagnostic> {
    let mut look = Look { sources, found: Vec::new() };
    look.object(document, "");
    look.found
}

struct Look<'a> {
    sources: &'a Sources,
    found: Vec<Diagnostic>,
}

impl Look<'_> {
    fn object(&mut self, object: &Object, path: &str) {
        if let Some(command) = object.entry("command") {
            self.command(object, &command.value, &under(path, "command"));
        }
        if let Some(environment) = object.entry("environment") {
            self.environment(&environment.value, &under(path, "environment"));
        }
        for input in object.map("inputs") {
            self.input(input, &under(path, &format!("inputs.{}", input.key)));
        }
        for output in object.map("outputs") {
            self.output(output, &under(path, &format!("outputs.{}", output.key)));
        }
        for variable in object.map("environment_variables") {
            let at = under(path, &format!("environment_variables.{}", variable.key));
            self.meant(&variable.value, &at, str::to_owned);
        }
        for entry in &object.fields {
            let at = under(path, &entry.key);
            match &entry.value.data {
                Data::Object(inner) if entry.key != "environment" => self.object(inner, &at),
                Data::Map(nodes) if entry.key == "jobs" => {
                    for node in nodes.iter().filter_map(|node| Some((&node.key, node.value.object()?))) {
                        self.object(node.1, &under(&at, node.0));
                    }
                }
                _ => {}
            }
        }
    }

    fn command(&mut self, owner: &Object, command: &Value, at: &str) {
        let Some(text) = command.text() else { return };
        // The commands of components are checked in `component`.
        if !owner.class.ends_with("Component") {
            for expression in scalar::bindings(text).into_iter().filter(|one| one.starts_with("parent.")) {
                let written = format!("${{{{{expression}}}}}");
                let name = expression.rsplit('.').next().unwrap_or_default();
                let message = format!("'{written}' is not an expression of a command: the shell receives it unchanged");
                let help = format!(
                    "add the input {name}: {written} to the node, and use ${{{{inputs.{name}}}}} in the command"
                );
                self.fault(command.span, expression, message, help, at);
            }
        }
        self.meant(command, at, |meant| match meant.strip_prefix("parent.") {
            Some(own) if own.starts_with("inputs.") => own.to_owned(),
            _ => meant.to_owned(),
        });
        for (expression, name) in optional_in_the_open(owner, text) {
            let written = format!("${{{{{expression}}}}}");
            let message = format!("the optional '{name}' is used outside of $[[ … ]]: Azure ML refuses the component");
            let span = self.sources.find(command.span, expression);
            let fault = Diagnostic::error("optional-outside", span, message).at(at);
            self.report(
                fault.help(format!("write $[[--{name} {written}]], which is removed if the input has no value")),
            );
        }
    }

    fn environment(&mut self, environment: &Value, at: &str) {
        if let Some(object) = environment.object().filter(|object| object.class == "AnonymousEnvironment") {
            let wrong = match (object.get("image").is_some(), object.get("build").is_some()) {
                (false, false) => Some("needs 'image' or 'build'"),
                (true, true) => Some("has either 'image' or 'build', not both"),
                _ => None,
            };
            if let Some(wrong) = wrong {
                let message = format!("an environment {wrong}: Azure ML refuses it on submission");
                self.report(Diagnostic::error("bad-environment", environment.span, message).at(at));
            }
        }
        let image = environment.object().and_then(|object| object.get("image"));
        for value in [Some(environment), image].into_iter().flatten() {
            let Some(expression) = value.text().and_then(|text| scalar::bindings(text).into_iter().next()) else {
                continue;
            };
            let message = format!("expressions such as '${{{{{expression}}}}}' are not resolved in an environment");
            let help = "write the name of the environment; to change it for a run, use --set jobs.<node>.environment=…";
            self.fault(value.span, expression, message, help.to_owned(), at);
        }
    }

    fn input(&mut self, input: &Entry, at: &str) {
        let address = input.value.object().and_then(|data| data.get("path"));
        if let Some(address) = address {
            let Some(text) = address.text() else { return };
            let at = format!("{at}.path");
            // A path that begins with an expression is a path inside that data.
            let expression =
                scalar::bindings(text).into_iter().next().filter(|_| !text.trim_start().starts_with("${{"));
            if let Some(expression) = expression {
                let message = format!("expressions such as '${{{{{expression}}}}}' are not resolved inside a URI");
                let help =
                    "write the complete URI, or make it an input of the pipeline: path: ${{parent.inputs.<name>}}";
                self.fault(address.span, expression, message, help.to_owned(), &at);
            }
            self.meant(address, &at, str::to_owned);
        } else {
            self.meant(&input.value, at, str::to_owned);
        }
    }

    fn output(&mut self, output: &Entry, at: &str) {
        let Some(path) = output.value.object().and_then(|data| data.get("path")) else {
            self.meant(&output.value, at, str::to_owned);
            return;
        };
        let Some(text) = path.text() else { return };
        let at = format!("{at}.path");
        if scalar::only_binding(text).is_some_and(|whole| whole.starts_with("parent.outputs.")) {
            return;
        }
        let help = || "use ${{default_datastore}}, ${{name}} (of the job) or ${{output_name}}".to_owned();
        for expression in scalar::bindings(text).into_iter().filter(|one| !OF_OUTPUTS.contains(one)) {
            let message =
                format!("expressions such as '${{{{{expression}}}}}' are not resolved in the path of an output");
            self.fault(path.span, expression, message, help(), &at);
        }
        for (written, _) in braces(text) {
            let message = format!("'{written}' is not an expression: a folder with this name is created");
            let span = super::component::place(self.sources, path.span, written);
            self.report(Diagnostic::warning("bad-expression", span, message).at(&at).help(help()));
        }
    }

    /// Text with `{{inputs.x}}`, `${inputs.x}` or the like in it.
    fn meant(&mut self, value: &Value, at: &str, here: impl Fn(&str) -> String) {
        let Some(text) = value.text() else { return };
        let reads = |meant: &str| ["parent.", "inputs.", "outputs."].iter().any(|start| meant.starts_with(start));
        for (written, meant) in braces(text).into_iter().filter(|(_, meant)| reads(meant)) {
            let mut message = format!("'{written}' is not an expression and is passed on unchanged");
            let mut help = format!("did you mean ${{{{{}}}}}?", here(meant));
            if written.starts_with("$[[") && !meant.starts_with("parent.") {
                message =
                    format!("'{written}' contains no expression: the text in the brackets is passed on unchanged");
                help = help.replace("${{", "$[[${{").replace("}}", "}}]]");
            }
            // Azure ML runs it: one of Microsoft's own examples names an optional input so, and templates have braces.
            let span = super::component::place(self.sources, value.span, written);
            self.report(Diagnostic::warning("bad-expression", span, message).at(at).help(help));
        }
    }

    fn fault(&mut self, scalar: Span, written: &str, message: String, help: String, at: &str) {
        let span = super::component::place(self.sources, scalar, written);
        self.report(Diagnostic::error("bad-expression", span, message).at(at).help(help));
    }

    fn report(&mut self, fault: Diagnostic) {
        let is_same = |one: &Diagnostic| one.span == fault.span && one.message == fault.message;
        if !self.found.iter().any(is_same) {
            self.found.push(fault);
        }
    }
}

/// Expressions of optional inputs of a component that its command uses outside of `$[[ … ]]`, with their names.
fn optional_in_the_open<'t>(component: &Object, command: &'t str) -> Vec<(&'t str, &'t str)> {
    let is_optional = |name: &str| {
        let port = component.map("inputs").iter().find(|port| port.key == name);
        port.and_then(|port| port.value.object()).is_some_and(|port| {
            port.get("optional").and_then(Value::bool) == Some(true) && port.get("default").is_none()
        })
    };
    let mut found = Vec::new();
    let mut rest = command;
    while !rest.is_empty() {
        let start = rest.find("$[[").unwrap_or(rest.len());
        for expression in scalar::bindings(&rest[..start]) {
            let Some(name) = expression.strip_prefix("inputs.") else { continue };
            let name = name.strip_suffix(".path").unwrap_or(name);
            if is_optional(name) {
                found.push((expression, name));
            }
        }
        rest = rest[start..].find("]]").map_or("", |end| &rest[start + end + 2..]);
    }
    found
}

/// Braces that look like those of an expression and are not: the whole text, and the text inside them.
fn braces(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].find(['{', '$']).map(|offset| at + offset) {
        let rest = &text[next..];
        let (open, close) = match rest {
            _ if rest.starts_with("${{") => {
                at = next + rest.find("}}").map_or(rest.len(), |end| end + 2);
                continue;
            }
            _ if rest.starts_with("{{") => ("{{", "}}"),
            _ if rest.starts_with("${") => ("${", "}"),
            _ if rest.starts_with("$[[") => ("$[[", "]]"),
            _ => {
                at = next + 1;
                continue;
            }
        };
        let Some(end) = rest.find(close) else {
            at = next + open.len();
            continue;
        };
        let inner = rest[open.len()..end].trim().trim_start_matches('$');
        if !inner.is_empty() && inner.chars().all(|c| c.is_alphanumeric() || "._-".contains(c)) {
            found.push((&rest[..end + close.len()], inner));
        }
        at = next + open.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_that_are_no_expression_are_found_with_what_they_hold() {
        let found =
            braces("a {{ inputs.b }} ${{inputs.c}} ${inputs.d} ${HOME} $[[ parent.inputs.e ]] $[[--f ${{x}}]] {g}");
        let held: Vec<&str> = found.iter().map(|(_, inner)| *inner).collect();
        assert_eq!(held, ["inputs.b", "inputs.d", "HOME", "parent.inputs.e"]);
        assert_eq!(braces("{{$name}}/{{").first(), Some(&("{{$name}}", "name")));
    }
}
