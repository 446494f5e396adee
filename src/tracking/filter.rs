//! MLflow's search language: comparisons joined by AND, and orders such as `metrics.loss ASC`.
//!
//! A comparison is `ident op value`. An identifier is plain (an attribute) or `entity.key`; entity and key may be
//! quoted. The language has no OR, NOT or parentheses. This module only parses; it does not know which attributes
//! exist. Runs are searched in SQL (`db`), everything else in memory.

use super::error::{Result, TrackingError};

/// The field of a comparison or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A field of the record itself.
    Attribute(String),
    /// The latest value of a metric.
    Metric(String),
    /// A parameter.
    Param(String),
    /// A tag.
    Tag(String),
}

/// The operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `LIKE`: `%` is any text, `_` one character.
    Like,
    /// `ILIKE`: the same, in any case.
    Ilike,
    /// `IN (…)`
    In,
    /// `NOT IN (…)`
    NotIn,
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
}

/// The value to compare with.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A quoted string.
    Text(String),
    /// A number.
    Number(f64),
    /// The strings of `IN (…)`.
    List(Vec<String>),
    /// No value, after `IS NULL`.
    Nothing,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The field.
    pub field: Field,
    /// The operator.
    pub op: Op,
    /// The value.
    pub operand: Operand,
}

/// One criterion of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The field.
    pub field: Field,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// The longest filter, and the most comparisons and orders, so that every response is fast.
const LONGEST: usize = 100_000;
const MOST: usize = 100;
/// SQLite accepts no pattern of `LIKE` that is much longer.
const LONGEST_PATTERN: usize = 10_000;

/// Parses a filter; an empty one has no comparisons.
///
/// # Errors
/// A syntax error, with MLflow's message if there is one; a filter that is too long.
pub fn parse(filter: &str) -> Result<Vec<Comparison>> {
    if filter.len() > LONGEST {
        return invalid(format!("The filter string has {} characters; the maximum is {LONGEST}", filter.len()));
    }
    let mut parser = Parser { rest: filter };
    let mut comparisons = Vec::new();
    parser.space();
    while !parser.rest.is_empty() {
        let comparison = parser.comparison()?;
        if let (Op::Like | Op::Ilike, Operand::Text(text)) = (comparison.op, &comparison.operand)
            && text.len() > LONGEST_PATTERN
        {
            return invalid(format!("A pattern has {} characters; the maximum is {LONGEST_PATTERN}", text.len()));
        }
        comparisons.push(comparison);
        if comparisons.len() > MOST {
            return invalid(format!("The filter string has more than {MOST} comparisons"));
        }
        parser.space();
        if parser.rest.is_empty() {
            break;
        }
        let start = parser.rest;
        if !parser.keyword("AND") {
            let clause = start.split_whitespace().next().unwrap_or(start);
            return invalid(format!("Invalid clause(s) in filter string: '{clause}'"));
        }
        parser.space();
        if parser.rest.is_empty() {
            return invalid(format!("Invalid filter string '{filter}': a comparison must follow the last AND"));
        }
    }
    Ok(comparisons)
}

/// Limits the criteria of `order_by`.
///
/// # Errors
/// Too many criteria, or one that is too long.
pub fn check_orders(orders: &[&str]) -> Result<()> {
    if orders.len() > MOST || orders.iter().any(|order| order.len() > LONGEST_PATTERN) {
        return invalid(format!(
            "order_by has too many criteria, or criteria that are too long; the maximum is {MOST}"
        ));
    }
    Ok(())
}

/// Parses one criterion of `order_by`, ascending by default.
///
/// # Errors
/// Anything but an identifier with an optional `ASC` or `DESC`.
pub fn parse_order(text: &str) -> Result<Order> {
    let mut parser = Parser { rest: text };
    parser.space();
    let field = parser.field()?;
    parser.space();
    let descending = parser.keyword("DESC");
    if !descending {
        parser.keyword("ASC");
    }
    parser.space();
    if parser.rest.is_empty() {
        return Ok(Order { field, descending });
    }
    invalid(format!("Invalid order_by clause '{text}'; an identifier with ASC or DESC is expected"))
}

fn invalid<T>(message: String) -> Result<T> {
    Err(TrackingError::Invalid(message))
}

struct Parser<'a> {
    rest: &'a str,
}

const OPERATORS: [(&str, Op); 7] = [
    ("!=", Op::NotEqual),
    ("<>", Op::NotEqual),
    ("<=", Op::LessOrEqual),
    (">=", Op::GreaterOrEqual),
    ("=", Op::Equal),
    ("<", Op::Less),
    (">", Op::Greater),
];

impl<'a> Parser<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let rest = self.rest.strip_prefix(symbol);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A keyword in any case, if it ends at a word boundary.
    fn keyword(&mut self, word: &str) -> bool {
        let Some((head, tail)) = self.rest.split_at_checked(word.len()) else { return false };
        let ends = !tail.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
        let found = head.eq_ignore_ascii_case(word) && ends;
        if found {
            self.rest = tail;
        }
        found
    }

    /// Everything up to one of `stops` or white space.
    fn bare(&mut self, stops: &[char]) -> &'a str {
        let end = self.rest.find(|c: char| c.is_whitespace() || stops.contains(&c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Text in one of these quotes, if it begins here.
    fn quoted(&mut self, quotes: &[char]) -> Result<Option<&'a str>> {
        let Some(quote) = self.rest.chars().next().filter(|c| quotes.contains(c)) else { return Ok(None) };
        let inside = &self.rest[1..];
        match inside.split_once(quote) {
            Some((text, rest)) => {
                self.rest = rest;
                Ok(Some(text))
            }
            None => invalid(format!("Invalid filter string: the quote in {} is not closed", self.rest)),
        }
    }

    fn comparison(&mut self) -> Result<Comparison> {
        let start = self.rest;
        let field = self.field()?;
        self.space();
        let op = self.operator(start)?;
        self.space();
        let operand = match op {
            Op::IsNull | Op::IsNotNull => Operand::Nothing,
            Op::In | Op::NotIn => Operand::List(self.list()?),
            _ => self.value()?,
        };
        Ok(Comparison { field, op, operand })
    }

    fn field(&mut self) -> Result<Field> {
        const STOPS: [char; 8] = ['=', '!', '<', '>', '(', ')', ',', '\''];
        let stops_and_dot = [&STOPS[..], &['.']].concat();
        let first = match self.quoted(&['`', '"'])? {
            Some(quoted) => quoted,
            None => self.bare(&stops_and_dot),
        };
        if first.is_empty() {
            return invalid(format!("Invalid clause(s) in filter string: '{}'", self.rest));
        }
        if !self.symbol(".") {
            if matches!(first.to_ascii_uppercase().as_str(), "OR" | "NOT" | "AND") {
                return invalid(format!("Invalid clause(s) in filter string: '{first}'"));
            }
            return Ok(Field::Attribute(first.to_owned()));
        }
        let key = match self.quoted(&['`', '"'])? {
            Some(quoted) => quoted,
            None => self.bare(&STOPS),
        };
        let key = key.to_owned();
        match first {
            "metric" | "metrics" => Ok(Field::Metric(key)),
            "param" | "params" | "parameter" | "parameters" => Ok(Field::Param(key)),
            "tag" | "tags" => Ok(Field::Tag(key)),
            "attribute" | "attributes" | "attr" | "run" => Ok(Field::Attribute(key)),
            other => invalid(format!(
                "Invalid entity type '{other}'. Valid values are ['attribute', 'metric', 'parameter', 'tag']"
            )),
        }
    }

    fn operator(&mut self, comparison: &str) -> Result<Op> {
        if let Some((_, op)) = OPERATORS.into_iter().find(|(symbol, _)| self.symbol(symbol)) {
            return Ok(op);
        }
        for (words, op) in [
            (&["LIKE"][..], Op::Like),
            (&["ILIKE"], Op::Ilike),
            (&["IN"], Op::In),
            (&["NOT", "IN"], Op::NotIn),
            (&["IS", "NOT", "NULL"], Op::IsNotNull),
            (&["IS", "NULL"], Op::IsNull),
        ] {
            let before = self.rest;
            let all = words.iter().all(|word| {
                self.space();
                self.keyword(word)
            });
            if all {
                return Ok(op);
            }
            self.rest = before;
        }
        invalid(format!("Invalid clause(s) in filter string: '{}'", comparison.trim_end()))
    }

    fn value(&mut self) -> Result<Operand> {
        if let Some(text) = self.quoted(&['\'', '"'])? {
            return Ok(Operand::Text(text.to_owned()));
        }
        let word = self.bare(&[')', ',', '(']);
        match word.parse::<f64>() {
            Ok(number) => Ok(Operand::Number(number)),
            Err(_) => invalid(format!(
                "Expected a quoted string value or a number in the filter string, got '{word}'. \
                 Strings must be in single or double quotes"
            )),
        }
    }

    fn list(&mut self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        let mut open = self.symbol("(");
        while open {
            self.space();
            let Some(text) = self.quoted(&['\'', '"'])? else { break };
            texts.push(text.to_owned());
            self.space();
            if self.symbol(")") {
                return Ok(texts);
            }
            open = self.symbol(",");
        }
        invalid("IN needs a list of quoted strings, such as ('a', 'b')".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn comparisons_of_every_kind_are_read() {
        let read = parse(
            "metrics.loss < 0.5 and params.`lr rate` = '1e-3' AND tags.mlflow.source.type != \"LOCAL\" and \
             attributes.status LIKE 'FIN%' AND run_id IN ('a', 'b') and param.x IS NOT NULL AND tag.\"a.b\" is null \
             AND metric.m>=-1e-3 AND `run name` not in ('z')",
        )
        .unwrap();
        let text = |text: &str| Operand::Text(text.into());
        let expected = [
            (Field::Metric("loss".into()), Op::Less, Operand::Number(0.5)),
            (Field::Param("lr rate".into()), Op::Equal, text("1e-3")),
            (Field::Tag("mlflow.source.type".into()), Op::NotEqual, text("LOCAL")),
            (Field::Attribute("status".into()), Op::Like, text("FIN%")),
            (Field::Attribute("run_id".into()), Op::In, Operand::List(vec!["a".into(), "b".into()])),
            (Field::Param("x".into()), Op::IsNotNull, Operand::Nothing),
            (Field::Tag("a.b".into()), Op::IsNull, Operand::Nothing),
            (Field::Metric("m".into()), Op::GreaterOrEqual, Operand::Number(-0.001)),
            (Field::Attribute("run name".into()), Op::NotIn, Operand::List(vec!["z".into()])),
        ];
        let expected = expected.map(|(field, op, operand)| Comparison { field, op, operand });
        assert_eq!(read, expected);
        assert!(parse("  ").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_in_the_language_is_refused_by_name() {
        for (filter, message) in [
            ("a = 'x' OR b = 'y'", "Invalid clause(s) in filter string: 'OR'"),
            ("NOT a = 'x'", "Invalid clause(s) in filter string"),
            ("(a = 'x')", "Invalid clause(s) in filter string"),
            ("a BETWEEN 1 AND 2", "Invalid clause(s) in filter string"),
            ("a = 'x' AND", "must follow the last AND"),
            ("a = x", "Expected a quoted string value"),
            ("a = 'x", "not closed"),
            ("wrong.key = 1", "Invalid entity type 'wrong'"),
            ("a IN ()", "IN needs a list"),
            ("a IN 'x'", "IN needs a list"),
        ] {
            let error = parse(filter).unwrap_err().to_string();
            assert!(error.contains(message), "{filter}: {error}");
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let many = |count: usize| vec!["a = 'x'"; count].join(" AND ");
        assert_eq!(parse(&many(MOST)).unwrap().len(), MOST);
        parse(&many(MOST + 1)).unwrap_err();
        parse(&format!("a = '{}'", "x".repeat(LONGEST))).unwrap_err();
        parse(&format!("a LIKE '{}'", "x".repeat(LONGEST_PATTERN + 1))).unwrap_err();
        check_orders(&vec!["a"; MOST + 1]).unwrap_err();
    }

    #[test]
    fn orders_are_read() {
        let order = |text: &str| parse_order(text).unwrap();
        assert_eq!(order("metrics.loss"), Order { field: Field::Metric("loss".into()), descending: false });
        assert_eq!(order("start_time desc"), Order { field: Field::Attribute("start_time".into()), descending: true });
        assert_eq!(order("tags.`a b` ASC").field, Field::Tag("a b".into()));
        parse_order("metrics.loss sideways").unwrap_err();
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = (parse(&text), parse_order(&text));
        }
    }
}
