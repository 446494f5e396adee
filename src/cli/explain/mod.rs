//! `amlrun explain`: explains the code of a diagnostic, with a wrong and a right example.
//!
//! The pages are Markdown files in this folder, and built into the binary; [`pages`] is their table. This module finds
//! them by code and formats them for a terminal. It must not know how mistakes are found. `tests/explain.rs` keeps
//! pages and checks consistent, by validating every example.

pub(super) mod pages;

use serde_json::{Value, json};

use super::printer::Printer;
use crate::diagnostic::suggest;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::report::style::Paint;
use pages::Page;

/// Explain an error code, such as unknown-field
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun explain                       list all codes\n  \
    amlrun explain unknown-field         explain one code, with examples\n  \
    amlrun explain -o json | jq -r '.[].code'")]
pub(super) struct Args {
    /// Codes to explain, as shown in the brackets of error[…] [default: list all codes]
    #[arg(value_name = "CODE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    codes: Vec<String>,

    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Text
    Text,
    /// A JSON list of objects with 'code', 'summary' and 'page' (Markdown)
    Json,
}

pub(super) fn explain(args: &Args, printer: &Printer) -> Result<Exit, Failed> {
    let pages = if args.codes.is_empty() {
        pages::all().collect::<Vec<_>>()
    } else {
        args.codes.iter().map(|code| find(code, printer)).collect::<Result<_, _>>()?
    };
    match args.output {
        Output::Json => {
            let all: Vec<Value> = pages
                .iter()
                .map(|page| json!({ "code": page.code, "summary": page.summary(), "page": page.text }))
                .collect();
            printer.data(&format!("{}\n", serde_json::to_string_pretty(&all).unwrap_or_default()));
        }
        Output::Text if args.codes.is_empty() => {
            let width = pages.iter().map(|page| page.code.len()).max().unwrap_or(0);
            for page in pages {
                let code = printer.paint().bold(&format!("{:width$}", page.code));
                printer.painted(&format!("{code}  {}\n", page.summary()));
            }
        }
        Output::Text => {
            let all: Vec<String> = pages.iter().map(|page| drawn(page.text, printer.paint())).collect();
            printer.painted(&all.join("\n\n"));
        }
    }
    Ok(Exit::Ok)
}

/// The page of a code as the user typed it. `error[unknown-field]`, `UNKNOWN_FIELD` and former codes are accepted.
fn find(typed: &str, printer: &Printer) -> Result<Page, Failed> {
    let inner = typed.split_once('[').map_or(typed, |(_, rest)| rest.trim_end_matches(']'));
    let code = inner.trim().to_lowercase().replace('_', "-");
    let renamed = pages::renamed(&code);
    if let Some(new) = renamed {
        printer.err(&format!("note: '{code}' is now called '{new}'\n"));
    }
    pages::page(renamed.unwrap_or(&code)).ok_or_else(|| {
        let failed = Failed::not_found(format!("unknown code '{typed}'"));
        match suggest::nearest(&code, pages::all().map(|page| page.code)) {
            Some(near) => failed.hint(format!("did you mean '{near}'?")),
            None => failed.hint("run 'amlrun explain' to list all codes"),
        }
    })
}

/// Markdown for a terminal: headings are highlighted, and examples are indented under the name of their file.
fn drawn(markdown: &str, paint: Paint) -> String {
    let mut out = String::new();
    let mut example = false;
    for line in markdown.lines() {
        let row = if let Some(fence) = line.strip_prefix("```") {
            example = !example;
            match fence.split_once(' ') {
                Some((_, file)) => format!("  {}", paint.dim(&format!("# {file}"))),
                None => continue,
            }
        } else if example {
            format!("  {line}")
        } else if let Some(heading) = line.strip_prefix("# ").or(line.strip_prefix("## ")) {
            paint.bold(heading)
        } else {
            line.to_owned()
        };
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}
