//! From text to tree, in the limits that hostile files need.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span as EventSpan, Tag};

use super::readable::Readable;
use super::{Entry, Kind, Node, Scalar};
use crate::diagnostic::{Diagnostic, SourceId, Span};

/// How deep a document may nest. Real jobs stay below 20.
const MAX_DEPTH: usize = 200;
/// How many nodes a document may have after its aliases are followed ("billion laughs").
const MAX_NODES: usize = 500_000;

/// Reads one YAML document.
///
/// Anchors, aliases and merge keys (`<<`) are followed; duplicate keys keep their last value and give a warning in
/// `found`; custom tags, several documents and syntax errors are errors (reference, section 1.2).
/// Returns `None` after an error, and for an empty document.
pub fn parse(text: &str, source: SourceId, found: &mut Vec<Diagnostic>) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut readable = Readable::of(text);
    loop {
        let mut own = Vec::new();
        let (anchors, nodes, unread) = (HashMap::new(), 0, None);
        let mut builder = Builder { text, readable: &readable, source, found: &mut own, anchors, nodes, unread };
        let read = builder.document(&mut Parser::new_from_str(readable.text()));
        if let Some(error) = builder.unread.take()
            && readable.space(&error)
        {
            continue;
        }
        found.append(&mut own);
        return read.unwrap_or_else(|stop| {
            found.push(*stop);
            None
        });
    }
}

/// The tags that PyYAML's safe loader constructs; `python/…` ones are what makes the unsafe loader unsafe.
const STANDARD_TAGS: [&str; 8] = ["str", "int", "float", "bool", "null", "seq", "map", "timestamp"];

type Built<T> = Result<T, Box<Diagnostic>>;

struct Builder<'a> {
    text: &'a str,
    /// The text as the scanner reads it.
    readable: &'a Readable<'a>,
    source: SourceId,
    found: &'a mut Vec<Diagnostic>,
    /// The nodes that have an anchor, and how many nodes each holds.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    /// Where the scanner stopped.
    unread: Option<ScanError>,
}

impl Builder<'_> {
    fn document<'i, I: saphyr_parser::Input>(&mut self, events: &mut Parser<'i, I>) -> Built<Option<Node>> {
        let mut root = None;
        loop {
            let (event, span) = self.next(events)?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(self.stop(
                        "yaml-documents",
                        self.span(span),
                        "the file contains more than one YAML document",
                        "remove the line '---' or split the file: Azure ML reads one document per file",
                    ));
                }
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                event => root = Some(self.node(event, span, events, 0)?),
            }
        }
    }

    fn next<'i, I: saphyr_parser::Input>(&mut self, events: &mut Parser<'i, I>) -> Built<(Event<'i>, EventSpan)> {
        match events.next_event() {
            Some(Ok(next)) => Ok(next),
            None => Ok((Event::StreamEnd, EventSpan::default())),
            Some(Err(error)) => {
                let (line, column) = self.readable.place(*error.marker());
                let mut column = column + 1;
                if error.info().contains("tab") {
                    // The reader stops behind the tab: the mistake is the tab itself.
                    let written = self.text.lines().nth(line - 1).unwrap_or("");
                    column = written.chars().take(column).position(|c| c == '\t').map_or(column, |at| at + 1);
                }
                let span = Span { source: self.source, line, column, end_line: line, end_column: column + 1 };
                self.unread = Some(error.clone());
                if error.info().contains("recursion limit") {
                    // The scanner counts brackets before any node is made of them, and has a limit of its own.
                    return Err(self.too_deep(span));
                }
                let mut diagnostic =
                    Diagnostic::error("yaml-syntax", span, format!("this is not valid YAML: {}", error.info()));
                if error.info().contains("tab") {
                    diagnostic = diagnostic.help("use spaces for indentation: YAML does not allow tabs there");
                } else if error.info().contains("mapping values are not allowed") {
                    let help = "put a text that contains ': ' in quotes, or below 'command: >-'";
                    diagnostic = diagnostic.help(help);
                } else if let Some((c, line)) = self.readable.unusual_break() {
                    let help = format!(
                        "remove the character U+{:04X} in line {line}, which YAML reads as a line break",
                        c as u32
                    );
                    diagnostic = diagnostic.help(help);
                }
                Err(Box::new(diagnostic))
            }
        }
    }

    fn node<'i, I: saphyr_parser::Input>(
        &mut self,
        event: Event<'i>,
        at: EventSpan,
        events: &mut Parser<'i, I>,
        depth: usize,
    ) -> Built<Node> {
        let start = self.span(at);
        self.count(1, start)?;
        if depth > MAX_DEPTH {
            return Err(self.too_deep(start));
        }
        let before = self.nodes;
        let (node, anchor) = match event {
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    let message = "this alias is inside the node that it refers to";
                    return Err(self.stop(
                        "yaml-alias",
                        start,
                        message,
                        "remove the alias: a node cannot contain itself",
                    ));
                };
                self.count(size, start)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let forced = self.tag(tag.as_deref(), start)?;
                let plain = style == ScalarStyle::Plain && !forced;
                let Some(text) = self.readable.value(style, at, text) else {
                    let message = "this text contains a line separator (U+2028 or U+2029), which is not supported here";
                    return Err(self.stop("yaml-syntax", start, message, "replace it with a line break or a space"));
                };
                (Node { span: start, kind: Kind::Scalar(Scalar { text: text.into_owned(), plain }) }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag.as_deref(), start)?;
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next(events)?;
                    if matches!(event, Event::SequenceEnd) {
                        break (Node { span: self.through(start, span), kind: Kind::Sequence(items) }, anchor);
                    }
                    items.push(self.node(event, span, events, depth + 1)?);
                }
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag.as_deref(), start)?;
                let mut entries = Vec::new();
                let mut merges = Vec::new();
                let mut seen = HashMap::new();
                loop {
                    let (event, span) = self.next(events)?;
                    if matches!(event, Event::MappingEnd) {
                        break;
                    }
                    let key = self.node(event, span, events, depth + 1)?;
                    let (event, span) = self.next(events)?;
                    let value = self.node(event, span, events, depth + 1)?;
                    self.entry(&key, value, &mut entries, &mut seen, &mut merges)?;
                }
                for merged in merges {
                    self.merge(merged, &mut entries)?;
                }
                (Node { span: self.whole(start, &entries), kind: Kind::Mapping(entries) }, anchor)
            }
            _ => return Err(self.stop("yaml-syntax", start, "the document is incomplete", "complete it")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn entry(
        &mut self,
        key: &Node,
        value: Node,
        entries: &mut Vec<Entry>,
        seen: &mut HashMap<String, usize>,
        merges: &mut Vec<Node>,
    ) -> Built<()> {
        let Kind::Scalar(scalar) = &key.kind else {
            // `{{parent.inputs.x}}` is a mapping in a mapping to YAML.
            let meant = key.as_mapping().and_then(|inner| match inner {
                [one] if one.value.is_null() => Some(format!("did you mean ${{{{{}}}}}?", one.key)),
                _ => None,
            });
            let help = meant.as_deref().unwrap_or("write the key as plain text");
            return Err(self.stop("yaml-key", key.span, "a key must be a scalar", help));
        };
        if scalar.plain && scalar.text == "<<" {
            merges.push(value);
            return Ok(());
        }
        let entry = Entry { key: scalar.text.clone(), key_plain: scalar.plain, key_span: key.span, value };
        if let Some(first) = seen.get(&entry.key).and_then(|at| entries.get_mut(*at)) {
            let message = format!("duplicate key '{}': the last value is used", entry.key);
            self.found.push(
                Diagnostic::warning("duplicate-key", entry.key_span, message)
                    .label(first.key_span, "first defined here, and ignored")
                    .help("keep one of them: Azure ML silently ignores the first"),
            );
            *first = entry;
        } else {
            seen.insert(entry.key.clone(), entries.len());
            entries.push(entry);
        }
        Ok(())
    }

    /// A merge key adds what the mapping does not say itself (YAML 1.1 merge).
    fn merge(&mut self, merged: Node, entries: &mut Vec<Entry>) -> Built<()> {
        match merged.kind {
            Kind::Mapping(more) => {
                let known: HashSet<&str> = entries.iter().map(|e| e.key.as_str()).collect();
                let new: Vec<Entry> = more.into_iter().filter(|m| !known.contains(m.key.as_str())).collect();
                entries.extend(new);
                Ok(())
            }
            Kind::Sequence(items) => items.into_iter().try_for_each(|item| self.merge(item, entries)),
            Kind::Scalar(_) => {
                let help = "use '<<: *anchor' with the anchor of a mapping";
                Err(self.stop("yaml-merge", merged.span, "only mappings can be merged with '<<'", help))
            }
        }
    }

    /// Whether the tag forces a scalar to be text. Custom tags are refused, as PyYAML's safe loader does.
    fn tag(&mut self, tag: Option<&Tag>, span: Span) -> Built<bool> {
        match tag {
            None => Ok(false),
            Some(tag) if tag.is_yaml_core_schema() && STANDARD_TAGS.contains(&tag.suffix.as_str()) => {
                Ok(tag.suffix == "str")
            }
            Some(tag) if tag.handle == "!" && tag.suffix.is_empty() => Ok(true),
            Some(tag) => {
                let message = format!("unknown tag '{}{}'", tag.handle, tag.suffix);
                Err(self.stop("yaml-tag", span, message, "remove it: Azure ML does not support custom tags"))
            }
        }
    }

    fn count(&mut self, more: usize, span: Span) -> Built<()> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MAX_NODES {
            let message = format!("the document has more than {MAX_NODES} nodes after its aliases are resolved");
            return Err(self.stop(
                "yaml-size",
                span,
                message,
                "make the document smaller: no Azure ML document needs this",
            ));
        }
        Ok(())
    }

    fn too_deep(&self, at: Span) -> Box<Diagnostic> {
        let message = format!("the document is nested deeper than {MAX_DEPTH} levels");
        self.stop("yaml-depth", at, message, "make the document smaller: no Azure ML document needs this")
    }

    fn stop(&self, code: &'static str, span: Span, message: impl Into<String>, help: &str) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(code, span, message).help(help))
    }

    fn span(&self, span: EventSpan) -> Span {
        let (line, column) = self.readable.place(span.start);
        let (end_line, end_column) = self.readable.place(span.end);
        Span { source: self.source, line, column: column + 1, end_line, end_column: end_column + 1 }
    }

    fn through(&self, start: Span, end: EventSpan) -> Span {
        let end = self.span(end);
        Span { end_line: end.end_line, end_column: end.end_column, ..start }
    }

    /// A mapping is shown by its first key: underlining a whole block would not help.
    fn whole(&self, start: Span, entries: &[Entry]) -> Span {
        entries.first().map_or(start, |first| first.key_span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Sources;
    use std::path::Path;

    fn read(text: &str) -> (Option<Node>, Vec<Diagnostic>) {
        let mut sources = Sources::default();
        let id = sources.add(Path::new("t.yml"), text);
        let mut found = Vec::new();
        (parse(text, id, &mut found), found)
    }

    #[test]
    fn places_are_those_of_the_text() {
        let (root, _) = read("a: 1\nb:\n  c: 'x'\n");
        let root = root.unwrap();
        let c = &root.get("b").unwrap().as_mapping().unwrap()[0];
        assert_eq!((c.key_span.line, c.key_span.column), (3, 3));
        assert_eq!((c.value.span.line, c.value.span.column), (3, 6));
    }

    #[test]
    fn a_tab_is_shown_where_it_stands() {
        let (_, found) = read("a:\n\tb: 1\n");
        assert_eq!(found[0].span.map(|s| (s.line, s.column)), Some((2, 1)), "{found:?}");
    }

    #[test]
    fn places_are_those_of_an_editor_where_other_characters_end_a_line() {
        let (root, _) = read("a: 1\u{85}b: 2\u{2028}c: [x]#y\nd: 3\n");
        let places: Vec<_> =
            root.unwrap().as_mapping().unwrap().iter().map(|e| (e.key_span.line, e.key_span.column)).collect();
        assert_eq!(places, [(1, 1), (1, 6), (1, 11), (2, 1)]);
        let (_, found) = read("a: one\u{2029}a: two\n");
        assert_eq!(found[0].span.map(|s| (s.line, s.column)), Some((1, 8)), "{found:?}");
    }

    #[test]
    fn a_separator_that_cannot_be_read_is_told() {
        for text in ["a: >\n  one\u{2028}  two\n", "a: \"one\\\u{2029} two\"\n", "a: |+\n\u{2028}\n"] {
            let (root, found) = read(text);
            assert!(root.is_none(), "{text:?}");
            assert!(found[0].message.contains("U+2028 or U+2029"), "{found:?}");
        }
        assert!(read("a: >\n  one\nb: 'two\u{2028}three'\n").1.is_empty());
    }

    #[test]
    fn the_last_of_two_equal_keys_counts_and_is_warned_of() {
        let (root, found) = read("a: 1\na: 2\n");
        assert!(matches!(root.unwrap().get("a").unwrap().literal(), Some(crate::yaml::Literal::Int(i)) if i == "2"));
        assert_eq!(found[0].code, "duplicate-key");
    }

    #[test]
    fn merge_keys_add_but_do_not_replace() {
        let (root, found) = read("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n");
        let root = root.unwrap();
        let used = root.get("use").unwrap();
        assert!(found.is_empty());
        assert!(used.get("x").is_some());
        assert!(matches!(used.get("y").unwrap().literal(), Some(crate::yaml::Literal::Int(i)) if i == "3"));
    }

    #[test]
    fn hostile_documents_end_in_a_message() {
        let bomb: String =
            (1..12).map(|i| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(","))).collect();
        let (root, found) = read(&format!("a0: &a0 [x,x,x,x,x,x,x,x,x]\n{bomb}"));
        assert!(root.is_none());
        assert_eq!(found.last().unwrap().code, "yaml-size");
        for brackets in [500, 5_000] {
            let (root, found) = read(&"[".repeat(brackets));
            assert!(root.is_none());
            assert_eq!(found.last().unwrap().code, "yaml-depth");
        }
        assert_eq!(read("a: !!python/object:os.system x\n").1[0].code, "yaml-tag");
        assert_eq!(read("a: 1\n---\nb: 2\n").1[0].code, "yaml-documents");
        assert_eq!(read("a: [1\n").1[0].code, "yaml-syntax");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[ -~\n\t:\\[\\]{}&*!|>-]{0,200}") {
            let _ = read(&text);
        }
    }
}
