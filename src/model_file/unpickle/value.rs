//! What a pickle has built: nodes in one arena that refer to each other by number, so that neither nesting nor cycles
//! cost any stack.

/// The number of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub(super) u32);

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits.
    Int(i64),
    /// An integer that does not fit; its value is of no use to a model.
    Long,
    /// A float.
    Float(f64),
    /// A text.
    Text(Box<str>),
    /// Bytes, of which only the number is kept.
    Bytes(u64),
    /// A list.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Box<[Id]>),
    /// A dictionary: keys and values in the order in which they were set.
    Dict(Vec<(Id, Id)>),
    /// A set or frozen set.
    Set(Vec<Id>),
    /// A class or function, named and not imported: module and name.
    Global(Box<(String, String)>),
    /// Something that the surrounding file keeps, known by this value.
    Persistent(Id),
    /// What a call or a class would have made.
    Call(Box<Call>),
}

/// A call that was written down instead of made.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What would have been called.
    pub callable: Id,
    /// Its arguments, in order.
    pub arguments: Box<[Id]>,
    /// The state that was laid into the result (`BUILD`), the last one when there were several.
    pub state: Option<Id>,
    /// Items that were appended to it.
    pub items: Vec<Id>,
    /// Keys and values that were set in it.
    pub entries: Vec<(Id, Id)>,
}

/// All values of one pickle.
#[derive(Debug)]
pub struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
}

impl Pickle {
    /// The value that the pickle is.
    pub fn root(&self) -> Id {
        self.root
    }

    /// A value by its number.
    pub fn node(&self, id: Id) -> &Node {
        self.nodes.get(id.0 as usize).unwrap_or(&Node::None)
    }

    /// Every value, in the order in which they were made.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A text.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An integer.
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// A size or count.
    pub fn size(&self, id: Id) -> Option<usize> {
        self.int(id).and_then(|number| usize::try_from(number).ok())
    }

    /// The items of a tuple or list, or of a call such as `torch.Size((2, 3))`.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(items) => Some(items),
            Node::List(items) => Some(items),
            Node::Call(call) if self.is_global(call.callable, "torch", "Size") => match call.arguments.first() {
                Some(&inner) => match self.node(inner) {
                    Node::Tuple(items) => Some(items),
                    Node::List(items) => Some(items),
                    _ => None,
                },
                None => Some(&[]),
            },
            _ => None,
        }
    }

    /// Module and name of a class or function.
    pub fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.node(id) {
            Node::Global(global) => Some((&global.0, &global.1)),
            _ => None,
        }
    }

    /// Whether a value is that class or function.
    pub fn is_global(&self, id: Id, module: &str, name: &str) -> bool {
        self.global(id) == Some((module, name))
    }

    /// A written-down call.
    pub fn call(&self, id: Id) -> Option<&Call> {
        match self.node(id) {
            Node::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Keys and values of a dictionary: a plain one, or an `OrderedDict` or `defaultdict` however it was pickled.
    pub fn entries(&self, id: Id) -> Option<Vec<(Id, Id)>> {
        match self.node(id) {
            Node::Dict(entries) => Some(entries.clone()),
            Node::Call(call) => {
                let (module, name) = self.global(call.callable)?;
                let dictionary = module == "collections" && matches!(name, "OrderedDict" | "defaultdict" | "Counter");
                if !dictionary {
                    return None;
                }
                // Python 2 pickled an OrderedDict as a call with a list of pairs.
                let pairs = call.arguments.iter().find_map(|&argument| match self.node(argument) {
                    Node::List(pairs) => Some(pairs.as_slice()),
                    _ => None,
                });
                let pair = |&pair: &Id| match self.items(pair) {
                    Some(&[key, value]) => Some((key, value)),
                    _ => None,
                };
                let mut all: Vec<_> = pairs.unwrap_or_default().iter().filter_map(pair).collect();
                all.extend_from_slice(&call.entries);
                Some(all)
            }
            _ => None,
        }
    }

    /// The value under a text key, the last one when it was set often, as in Python.
    pub fn get(&self, entries: &[(Id, Id)], key: &str) -> Option<Id> {
        entries.iter().rev().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }
}
