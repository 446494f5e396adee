//! The command of a parallel step: it runs the driver, which calls the author's script for each mini-batch. The driver is
//! in `engine/parallel`.

use super::bind::Scope;
use super::site::Site;
use super::{InputMode, StepInput, StepOutput};
use crate::diagnostic::{Diagnostic, Span, suggest};
use crate::spec::Spanned;
use crate::spec::component::CommandBody;
use crate::spec::expr::{Expr, Template};
use crate::spec::io::PortType;
use crate::spec::parallel::ParallelBody;

/// A step that says nothing of its concurrency gets all slots, as it gets all cores of an instance on Azure ML.
const ALL_SLOTS: u64 = u16::MAX as u64;

/// What a parallel step runs.
pub(super) struct Driven {
    /// The command with its code and environment.
    pub body: CommandBody,
    /// How many workers it may have.
    pub workers: usize,
}

/// The command of a parallel step with these inputs and outputs. The driver reads the input that is split from local
/// files, so `inputs` may get another mode. `None` after a mistake, which has been reported.
pub(super) fn of(
    body: &ParallelBody,
    inputs: &mut [StepInput],
    outputs: &[StepOutput],
    variables: &[&str],
    scope: &Scope<'_>,
    at: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<Driven> {
    let mut context = Context { body, scope, at, found };
    let task = match &body.task {
        Some(task) if task.kind.value == "run_function" => task,
        Some(task) => {
            let message = format!("parallel tasks of type '{}' are not supported by amlrun", task.kind.value);
            let help = "use 'type: run_function' with an entry_script";
            return context.refuse("not-yet", task.kind.span, "task.type", message, help);
        }
        None => return context.missing("task", "add a task of type run_function with 'code' and 'entry_script'"),
    };
    let Some(script) = &task.entry_script else {
        return context.missing("task.entry_script", "set it to the script with run(mini_batch), relative to 'code'");
    };
    let Some(written) = &body.input_data else {
        return context.missing("input_data", "name the input to split: input_data: ${{inputs.<name>}}");
    };
    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    let split = context.port(written, "input_data", "input", &names)?;
    let (mode, kind) = (inputs[split].mode, inputs[split].kind);
    if !kind.is_data() {
        let message =
            format!("'{}' is of type {kind}, but input_data must be a file, a folder or a table", inputs[split].name);
        return context.refuse(
            "wrong-type",
            written.span,
            "input_data",
            message,
            "give the input a 'type' and a 'path'",
        );
    }
    let is_evaluated = matches!(mode, InputMode::EvalMount | InputMode::EvalDownload);
    if is_evaluated && inputs[split].value.as_ref().is_some_and(|value| value.parts.len() > 1) {
        let message = "amlrun cannot split an MLTable that selects remote files yet";
        let help = "put the files into the folder of the MLTable";
        return context.refuse("not-yet", written.span, "input_data", message.to_owned(), help);
    }
    if mode != InputMode::Download {
        inputs[split].mode = InputMode::RoMount;
    }
    let mut words = Words::default();
    words.option("--entry-script", &script.value);
    words.option_of_port("--input-data", &written.value);
    words.option("--input-name", &inputs[split].name);
    words.option("--input-type", &kind.to_string());
    if let Some(size) = context.text(body.mini_batch_size.as_ref(), "mini_batch_size") {
        if !body.partition_keys.is_empty() {
            let message = "'mini_batch_size' and 'partition_keys' exclude each other".to_owned();
            let span = body.mini_batch_size.as_ref().map_or(body.span, |size| size.span);
            return context.refuse("exclusive-fields", span, "mini_batch_size", message, "remove one of them");
        }
        words.option("--mini-batch-size", &size);
    }
    body.partition_keys.iter().for_each(|key| words.option("--partition-key", key));
    let resources = body.resources.clone().unwrap_or_default();
    let retries = body.retry_settings.clone().unwrap_or_default();
    let instances = context.number(resources.instance_count.as_ref(), "resources.instance_count", 1);
    let concurrency = context.number(body.max_concurrency_per_instance.as_ref(), "max_concurrency_per_instance", 1);
    for (option, number) in [
        ("--instance-count", instances),
        ("--max-concurrency-per-instance", concurrency),
        ("--error-threshold", context.number(body.error_threshold.as_ref(), "error_threshold", -1)),
        (
            "--mini-batch-error-threshold",
            context.number(body.mini_batch_error_threshold.as_ref(), "mini_batch_error_threshold", -1),
        ),
        ("--timeout", context.number(retries.timeout.as_ref(), "retry_settings.timeout", 1)),
        ("--max-retries", context.number(retries.max_retries.as_ref(), "retry_settings.max_retries", 0)),
    ] {
        if let Some(number) = number {
            words.option(option, &number.to_string());
        }
    }
    if let Some(level) = context.text(body.logging_level.as_ref(), "logging_level") {
        words.option("--logging-level", &level);
    }
    if let Some(written) = &task.append_row_to {
        let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
        let output = &outputs[context.port(written, "task.append_row_to", "output", &names)?];
        words.option_of_port("--append-row-to", &written.value);
        if output.kind == PortType::UriFile {
            words.option("--append-row-type", "uri_file");
        }
    }
    // A change of a variable makes results of an earlier attempt useless.
    variables.iter().for_each(|name| words.option("--variable", name));
    // As on Azure ML they are words of a shell. A line break would end the command.
    let arguments = task.program_arguments.as_ref().map(|text| text.value.replace(['\r', '\n'], " "));
    let text =
        format!("exec python3 \"$AMLRUN_PARALLEL_DRIVER\"{} -- {}", words.0, arguments.unwrap_or_default().trim());
    let span = task.program_arguments.as_ref().map_or(task.kind.span, |arguments| arguments.span);
    let command = CommandBody { command: Spanned::new(text.trim_end().to_owned(), span), ..task.command.clone() };
    let whole = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    let workers = whole(concurrency).map_or(ALL_SLOTS, |each| each.saturating_mul(whole(instances).unwrap_or(1)));
    Some(Driven { body: command, workers: usize::try_from(workers).unwrap_or(usize::MAX) })
}

/// The fields of a parallel node with what they mean.
struct Context<'a, 's> {
    body: &'a ParallelBody,
    scope: &'a Scope<'s>,
    at: &'a str,
    found: &'a mut Vec<Diagnostic>,
}

impl Context<'_, '_> {
    fn refuse<T>(&mut self, code: &'static str, span: Span, field: &str, message: String, help: &str) -> Option<T> {
        self.found.push(Diagnostic::error(code, span, message).at(format!("{}.{field}", self.at)).help(help));
        None
    }

    fn missing<T>(&mut self, field: &str, help: &str) -> Option<T> {
        let message = format!("the parallel node has no '{field}'");
        self.refuse("missing-field", self.body.span, field, message, help)
    }

    /// The port that `${{inputs.x}}` or `${{outputs.x}}` names.
    fn port(&mut self, written: &Spanned<String>, field: &str, side: &str, names: &[&str]) -> Option<usize> {
        let name = match (Template::binding(&written.value).single(), side) {
            (Some(Expr::Input(name)), "input") | (Some(Expr::Output(name)), "output") => name.clone(),
            _ => {
                let message = format!("'{}' must name an {side} of this node", written.value);
                let help = format!("write ${{{{{side}s.<name>}}}}");
                return self.refuse("bad-expression", written.span, field, message, &help);
            }
        };
        let index = names.iter().position(|known| *known == name);
        if index.is_none() {
            let message = format!("the node has no {side} '{name}'");
            let help = match suggest::nearest(&name, names.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("add it under '{side}s:'"),
            };
            return self.refuse("unknown-port", written.span, field, message, &help);
        }
        index
    }

    /// A field as text, with what a binding in it leads to.
    fn text(&mut self, field: Option<&Spanned<String>>, name: &str) -> Option<String> {
        let field = field?;
        let path = format!("{}.{name}", self.at);
        let bound = self.scope.template(&field.value, Site { span: field.span, path: &path }, 0, self.found)?;
        let text = bound.value.as_ref().and_then(super::Value::as_text);
        if text.is_none() {
            let message = format!("'{name}' must be known before the run, but it is an output or absent");
            return self.refuse(
                "bad-value",
                field.span,
                name,
                message,
                "write the value, or bind a pipeline input to it",
            );
        }
        text.map(|text| text.trim().to_owned())
    }

    fn number(&mut self, field: Option<&Spanned<String>>, name: &str, least: i64) -> Option<i64> {
        let text = self.text(field, name)?;
        let number = text.parse().ok().filter(|number| *number >= least);
        if number.is_none() {
            let message = format!("'{text}' is not an integer of at least {least}");
            let span = field.map_or(self.body.span, |field| field.span);
            return self.refuse("bad-value", span, name, message, "change it to such a number");
        }
        number
    }
}

/// Words of a command, each as the shell must see it.
#[derive(Default)]
struct Words(String);

impl Words {
    fn option(&mut self, name: &str, value: &str) {
        let word = shlex::try_quote(value).map_or_else(|_| "''".into(), std::borrow::Cow::into_owned);
        self.0.push_str(&format!(" {name}={word}"));
    }

    /// The path of a port: it is put in before the shell sees the command, and is one plain word.
    fn option_of_port(&mut self, name: &str, expression: &str) {
        self.0.push_str(&format!(" {name}={}", expression.trim()));
    }
}
