//! The grammar of Azure ML's documents: which fields a class has, and what each may hold.
//!
//! The grammar is data: the text files beside this one, a paragraph for each class. They can be read without this code.
//!
//! ```text
//! CommandJob : ParameterizedCommand, BaseJob     a class and the classes whose fields it takes over
//!   type       enum(command)                     a field and its shape
//!   limits     CommandJobLimits                  another class
//!   command!   str                               the field is required
//!   code?      str                               null is allowed
//!   -status                                      read-only: dropped without a word when written
//!   ~on_init   node-name                         only while the preview switch is on
//!   mode       enum(a|b) = 'a'                   with a default
//!   without compute                              a field of a base that this class does not have
//! @Compute = enum(local) | arm(computes) | str   a shape with a name of its own
//! ```
//!
//! Shapes: `str int int! float float! number bool any version path url git` and more scalars (see [`Shape`]); an `!`
//! says that nothing else is turned into that number. `[x]` is a list, `{x}` a mapping with free keys, `{}` a free
//! mapping, `a | b` the first that fits, `Class+` a class that keeps unknown fields. This module knows nothing of YAML.

use std::collections::HashMap;
use std::sync::OnceLock;

/// What a field may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Anything but null.
    Any,
    /// A mapping of anything.
    Free,
    /// Text.
    Str,
    /// A whole number; unless strict, `1.5` is read as 1 and `"2"` as 2.
    Int {
        /// Whether only integers will do.
        strict: bool,
        /// Smallest and greatest value.
        range: Option<(i64, i64)>,
    },
    /// A number; unless strict, text that holds a number will do.
    Float {
        /// Whether only a number with a fraction will do.
        strict: bool,
    },
    /// True or false, in any of the spellings that the SDK takes.
    Bool,
    /// A version: text or a number.
    Version,
    /// A version of a component: text, or any other value as Python prints it.
    Printed,
    /// Numbers joined by dots.
    NumberVersion,
    /// A local file or folder that is there.
    Path,
    /// An http or https address.
    Url,
    /// `git+…`.
    Git,
    /// One of some words.
    Enum {
        /// How the author's spelling is folded before it is compared.
        fold: Fold,
        /// The words, folded.
        words: Vec<String>,
        /// Whether the author's own spelling is kept.
        as_written: bool,
    },
    /// `azureml:<anything>`.
    Arm(String),
    /// `azureml:<name>:<version>` or `azureml:<name>@<label>`.
    Asset {
        /// What kind of asset.
        kind: String,
        /// Whether the version may be left out.
        bare: bool,
    },
    /// `azureml://registries/…`.
    Registry(String),
    /// `azureml://feeds/…`, the older spelling of a registry.
    Feed(String),
    /// Text with a `${{…}}` in it.
    Binding,
    /// `${{parent.jobs.<node>}}`.
    NodeBinding,
    /// `${{parent.outputs.<name>}}`, or a mapping with only that as its path.
    OutputBinding,
    /// The name of a pipeline node.
    NodeName,
    /// The name of a component.
    ComponentName,
    /// A component file of a class, named by a path without `file:`.
    File(String),
    /// A list.
    List(Box<Shape>),
    /// A mapping with free keys.
    Map {
        /// What the keys must be.
        key: Box<Shape>,
        /// What the values may be.
        value: Box<Shape>,
    },
    /// A mapping with the fields of a class.
    Class {
        /// The class's name.
        name: String,
        /// Whether unknown fields are kept.
        open: bool,
    },
    /// A distribution of a search space: `choice` with values of one shape.
    Choice(Box<Shape>),
    /// A node of a pipeline: which class, its `type` and its keys say.
    Node,
    /// The first that fits.
    Union(Vec<Shape>),
    /// The same, or null.
    Nullable(Box<Shape>),
}

/// How a word is folded before it is compared with those of an enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Not at all.
    Exact,
    /// To lower case.
    Lower,
    /// From camel case to snake case.
    Snake,
    /// From snake case to camel case.
    Camel,
    /// To upper case.
    Upper,
}

/// A field of a class.
#[derive(Clone, Debug)]
pub struct FieldRule {
    /// Its key.
    pub name: String,
    /// What it may hold.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it is dropped when written: only the service fills it.
    pub read_only: bool,
    /// Whether it exists only while the preview switch is on.
    pub preview: bool,
    /// What it holds when it is not written.
    pub default: Option<String>,
}

/// A class of the grammar with all its fields.
#[derive(Clone, Debug)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// The names of its bases, nearest first.
    pub bases: Vec<String>,
    /// Its fields, those of the bases included.
    pub fields: Vec<FieldRule>,
}

impl Class {
    /// The rule of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&FieldRule> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// Whether it is a class or takes over its fields.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name == name || self.bases.iter().any(|b| b == name)
    }
}

/// All classes by name.
pub struct Grammar {
    classes: HashMap<String, Class>,
}

const TEXTS: [&str; 8] = [
    include_str!("grammar/common.txt"),
    include_str!("grammar/jobs.txt"),
    include_str!("grammar/nodes.txt"),
    include_str!("grammar/components.txt"),
    include_str!("grammar/sweep.txt"),
    include_str!("grammar/automl.txt"),
    include_str!("grammar/tuning.txt"),
    include_str!("grammar/assets.txt"),
];

/// The grammar of this release of Azure ML's SDK.
pub fn grammar() -> &'static Grammar {
    static GRAMMAR: OnceLock<Grammar> = OnceLock::new();
    GRAMMAR.get_or_init(|| Grammar::read(&TEXTS))
}

impl Grammar {
    /// A class by its name. Every name that a shape holds is a class: a test reads the whole grammar.
    #[must_use]
    pub fn class(&self, name: &str) -> &Class {
        static NONE: OnceLock<Class> = OnceLock::new();
        self.classes
            .get(name)
            .unwrap_or_else(|| NONE.get_or_init(|| Class { name: String::new(), bases: vec![], fields: vec![] }))
    }

    fn read(texts: &[&str]) -> Self {
        let mut names: HashMap<&str, Shape> = HashMap::new();
        let mut raw: HashMap<&str, (Vec<&str>, Vec<&str>)> = HashMap::new();
        let lines = || texts.iter().flat_map(|t| t.lines()).filter(|l| !l.trim().is_empty() && !l.starts_with('#'));
        for line in lines().filter_map(|l| l.strip_prefix('@')) {
            if let Some((name, shape)) = line.split_once('=') {
                let shape = Notation { rest: shape.trim(), names: &names }.union();
                names.insert(name.trim(), shape);
            }
        }
        let mut order = Vec::new();
        for line in lines().filter(|l| !l.starts_with('@')) {
            if let Some(field) = line.strip_prefix("  ") {
                if let Some(class) = order.last().and_then(|n| raw.get_mut(n)) {
                    class.1.push(field.trim());
                }
                continue;
            }
            let (name, bases) = line.split_once(" : ").unwrap_or((line, ""));
            order.push(name.trim());
            raw.insert(name.trim(), (bases.split(',').map(str::trim).filter(|b| !b.is_empty()).collect(), vec![]));
        }
        let classes = order.iter().map(|name| ((*name).to_owned(), Self::complete(name, &raw, &names))).collect();
        Self { classes }
    }

    /// A class with the fields of its bases; the nearer one wins, in the order in which Python looks methods up.
    fn complete(name: &str, raw: &HashMap<&str, (Vec<&str>, Vec<&str>)>, names: &HashMap<&str, Shape>) -> Class {
        let line = ancestry(name, raw);
        let mut fields: Vec<FieldRule> = Vec::new();
        let mut without: Vec<&str> = Vec::new();
        for (distance, class) in line.iter().enumerate() {
            for text in raw.get(class).map(|c| c.1.as_slice()).unwrap_or_default() {
                if let Some(names) = text.strip_prefix("without ") {
                    // Leaving out is not handed down: a subclass has the field again, as in the SDK.
                    if distance == 0 {
                        without.extend(names.split(' '));
                    }
                    continue;
                }
                let rule = field_rule(text, names);
                if fields.iter().all(|f| f.name != rule.name) {
                    fields.push(rule);
                }
            }
        }
        fields.retain(|f| !without.contains(&f.name.as_str()));
        Class { name: name.to_owned(), bases: line[1..].iter().map(|b| (*b).to_owned()).collect(), fields }
    }
}

fn ancestry<'a>(name: &'a str, raw: &HashMap<&'a str, (Vec<&'a str>, Vec<&'a str>)>) -> Vec<&'a str> {
    let mut all = vec![name];
    for base in raw.get(name).map(|c| c.0.as_slice()).unwrap_or_default() {
        all.extend(ancestry(base, raw));
    }
    // A class comes after all classes that take over from it.
    (0..all.len()).filter(|i| !all[i + 1..].contains(&all[*i])).map(|i| all[i]).collect()
}

fn field_rule(text: &str, names: &HashMap<&str, Shape>) -> FieldRule {
    let (name, shape) = text.split_once(' ').unwrap_or((text, "any"));
    let (shape, default) = match shape.split_once(" = ") {
        Some((shape, default)) => (shape, Some(default.trim().trim_matches('\'').to_owned())),
        None => (shape, None),
    };
    let read_only = name.starts_with('-');
    let preview = name.starts_with('~');
    let bare = name.trim_start_matches(['-', '~']).trim_end_matches(['!', '?']);
    let shape = Notation { rest: shape.trim(), names }.union();
    let shape = if name.contains('?') { Shape::Nullable(Box::new(shape)) } else { shape };
    FieldRule { name: bare.to_owned(), shape, required: name.contains('!'), read_only, preview, default }
}

/// Reads the notation of shapes.
struct Notation<'a> {
    rest: &'a str,
    names: &'a HashMap<&'a str, Shape>,
}

impl<'a> Notation<'a> {
    fn union(&mut self) -> Shape {
        let mut all = vec![self.one()];
        while self.eat("|") {
            all.push(self.one());
        }
        let mut flat = Vec::new();
        for shape in all {
            match shape {
                Shape::Union(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        if flat.len() == 1 { flat.remove(0) } else { Shape::Union(flat) }
    }

    fn eat(&mut self, mark: &str) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.strip_prefix(mark).is_some_and(|rest| {
            self.rest = rest;
            true
        })
    }

    fn one(&mut self) -> Shape {
        let shape = self.bare();
        if self.rest.starts_with('?') && self.eat("?") { Shape::Nullable(Box::new(shape)) } else { shape }
    }

    fn bare(&mut self) -> Shape {
        if self.eat("(") {
            let inner = self.union();
            self.eat(")");
            return inner;
        }
        if self.eat("[") {
            let inner = self.union();
            self.eat("]");
            return Shape::List(Box::new(inner));
        }
        if self.eat("{") {
            if self.eat("}") {
                return Shape::Free;
            }
            let first = self.union();
            let (key, value) = if self.eat(":") { (first, self.union()) } else { (Shape::Str, first) };
            self.eat("}");
            return Shape::Map { key: Box::new(key), value: Box::new(value) };
        }
        let end =
            self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.word(word)
    }

    fn word(&mut self, word: &'a str) -> Shape {
        let fold = match word {
            "enum" => Some(Fold::Lower),
            "exact" => Some(Fold::Exact),
            "snake" => Some(Fold::Snake),
            "camel" => Some(Fold::Camel),
            "upper" => Some(Fold::Upper),
            _ => None,
        };
        if let Some(fold) = fold {
            let words = self.argument().split('|').map(str::to_owned).collect();
            let as_written = self.rest.starts_with('~') && self.eat("~");
            return Shape::Enum { fold, words, as_written };
        }
        match word {
            "any" => Shape::Any,
            "str" => Shape::Str,
            "bool" => Shape::Bool,
            "number" => Shape::Float { strict: false },
            "float" => Shape::Float { strict: self.strict() },
            "int" => {
                let strict = self.strict();
                Shape::Int { strict, range: self.range() }
            }
            "version" => Shape::Version,
            "printed" => Shape::Printed,
            "number-version" => Shape::NumberVersion,
            "path" => Shape::Path,
            "url" => Shape::Url,
            "git" => Shape::Git,
            "binding" => Shape::Binding,
            "node-binding" => Shape::NodeBinding,
            "output-binding" => Shape::OutputBinding,
            "node-name" => Shape::NodeName,
            "component-name" => Shape::ComponentName,
            "arm" => Shape::Arm(self.argument().to_owned()),
            "asset" => {
                let bare = self.rest.starts_with('?') && self.eat("?");
                Shape::Asset { kind: self.argument().to_owned(), bare }
            }
            "registry" => Shape::Registry(self.argument().to_owned()),
            "feed" => Shape::Feed(self.argument().to_owned()),
            "file" => Shape::File(self.argument().to_owned()),
            "choice" => {
                self.eat("(");
                let inner = self.union();
                self.eat(")");
                Shape::Choice(Box::new(inner))
            }
            "Node" => Shape::Node,
            name => match self.names.get(name) {
                Some(shape) => shape.clone(),
                None => {
                    let open = self.rest.starts_with('+') && self.eat("+");
                    Shape::Class { name: name.to_owned(), open }
                }
            },
        }
    }

    fn strict(&mut self) -> bool {
        self.rest.starts_with('!') && self.eat("!")
    }

    fn range(&mut self) -> Option<(i64, i64)> {
        let inner = self.rest.strip_prefix('[')?;
        let (bounds, rest) = inner.split_once(']')?;
        let (low, high) = bounds.split_once("..")?;
        self.rest = rest;
        Some((low.parse().ok()?, high.parse().ok()?))
    }

    /// The text in the parentheses after a word.
    fn argument(&mut self) -> &'a str {
        let Some(inner) = self.rest.strip_prefix('(') else { return "" };
        let Some((argument, rest)) = inner.split_once(')') else { return "" };
        self.rest = rest;
        argument
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes_in(shape: &Shape, found: &mut Vec<String>) {
        match shape {
            Shape::Class { name, .. } => found.push(name.clone()),
            Shape::File(kind) if kind == "Flow" => found.push("FlowComponent".to_owned()),
            Shape::File(kind) => found.push(format!("Anonymous{kind}Component")),
            Shape::List(inner) | Shape::Nullable(inner) | Shape::Choice(inner) => classes_in(inner, found),
            Shape::Map { key, value } => [key, value].into_iter().for_each(|s| classes_in(s, found)),
            Shape::Union(all) => all.iter().for_each(|s| classes_in(s, found)),
            _ => {}
        }
    }

    #[test]
    fn every_name_in_the_grammar_is_a_class() {
        let grammar = grammar();
        for class in grammar.classes.values() {
            for base in &class.bases {
                assert!(grammar.classes.contains_key(base), "{}: no class {base}", class.name);
            }
            for field in &class.fields {
                let mut named = Vec::new();
                classes_in(&field.shape, &mut named);
                for name in named {
                    assert!(grammar.classes.contains_key(&name), "{}.{}: no class {name}", class.name, field.name);
                }
            }
        }
        assert!(grammar.classes.len() > 150);
    }

    #[test]
    fn the_notation_is_read() {
        let names = HashMap::from([("Short", Shape::Str)]);
        let read = |text: &str| Notation { rest: text, names: &names }.union();
        assert_eq!(read("int! | str"), Shape::Union(vec![Shape::Int { strict: true, range: None }, Shape::Str]));
        assert_eq!(read("int[1..9]"), Shape::Int { strict: false, range: Some((1, 9)) });
        assert_eq!(read("{}"), Shape::Free);
        assert_eq!(read("[Short]"), Shape::List(Box::new(Shape::Str)));
        let nullable = Shape::Nullable(Box::new(Shape::Bool));
        assert_eq!(
            read("{node-name: bool?}"),
            Shape::Map { key: Box::new(Shape::NodeName), value: Box::new(nullable) }
        );
        assert_eq!(read("asset?(data)"), Shape::Asset { kind: "data".into(), bare: true });
    }

    #[test]
    fn the_nearer_class_wins() {
        let anonymous = grammar().class("AnonymousCommandComponent");
        assert!(anonymous.field("name").unwrap().read_only);
        assert!(matches!(&anonymous.field("tags").unwrap().shape, Shape::Map { .. }));
        assert!(grammar().class("CommandComponent").field("environment_variables").is_none());
    }
}
