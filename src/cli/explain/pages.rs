//! The table of pages: one Markdown file for each code.

use crate::diagnostic::sarif::Rule;

/// The explanation of a code.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Page {
    /// The code, as in `error[unknown-field]`.
    pub code: &'static str,
    /// The page in Markdown; the first line is the code, the third the summary.
    pub text: &'static str,
}

impl Page {
    /// The meaning of the code in one line.
    pub(crate) fn summary(&self) -> &'static str {
        self.text.lines().nth(2).unwrap_or("")
    }

    /// The page as a rule of a SARIF log.
    pub(crate) fn rule(&self) -> Rule<'static> {
        Rule { summary: self.summary(), page: self.text }
    }
}

/// The page of a code.
pub(in crate::cli) fn page(code: &str) -> Option<Page> {
    all().find(|page| page.code == code)
}

/// Former codes, each with its present name.
const RENAMED: [(&str, &str); 1] = [("two-writers", "duplicate-output")];

/// The present name of a former code.
pub(in crate::cli) fn renamed(code: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == code).map(|(_, new)| *new)
}

/// All pages, sorted by code.
pub(in crate::cli) fn all() -> impl Iterator<Item = Page> {
    PAGES.iter().map(|(code, text)| Page { code, text })
}

macro_rules! table {
    ($($code:literal)*) => { &[$(($code, include_str!(concat!($code, ".md")))),*] };
}

#[rustfmt::skip]
const PAGES: &[(&str, &str)] = table! {
    "bad-code"
    "bad-default"
    "bad-environment"
    "bad-expression"
    "bad-name"
    "bad-override"
    "bad-policy"
    "bad-reference"
    "bad-search-space"
    "bad-table"
    "bad-value"
    "case-clash"
    "cycle"
    "duplicate-entry"
    "duplicate-key"
    "duplicate-output"
    "empty-file"
    "exclusive-fields"
    "ignored-field"
    "include-clash"
    "incomplete-data"
    "literal-for-data"
    "missing-conf"
    "missing-entry"
    "missing-field"
    "missing-input"
    "missing-path"
    "missing-program"
    "no-compute"
    "no-steps"
    "not-a-document"
    "not-sent"
    "not-yet"
    "null-value"
    "optional-outside"
    "optional-to-required"
    "out-of-range"
    "output-type"
    "preview-only"
    "self-reference"
    "too-deep"
    "too-large"
    "unbound-output"
    "unknown-asset"
    "unknown-component"
    "unknown-datastore"
    "unknown-field"
    "unknown-job"
    "unknown-kind"
    "unknown-port"
    "unknown-setting"
    "unreachable-step"
    "unreadable-file"
    "wrong-kind"
    "wrong-type"
    "yaml-alias"
    "yaml-depth"
    "yaml-documents"
    "yaml-key"
    "yaml-merge"
    "yaml-size"
    "yaml-syntax"
    "yaml-tag"
};
