//! The values of a pickle: nodes in one arena that refer to each other by index, so that neither nesting nor cycles use
//! the stack.

/// The index of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub(super) u32);

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits into 64 bits.
    Int(i64),
    /// A larger integer. Models do not need its value.
    Long,
    /// A float.
    Float(f64),
    /// A string.
    Text(Box<str>),
    /// Bytes. Only their number is stored.
    Bytes(u64),
    /// A list.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Box<[Id]>),
    /// A dictionary: keys and values in insertion order.
    Dict(Vec<(Id, Id)>),
    /// A set or frozen set.
    Set(Vec<Id>),
    /// A class or function that was named: module and name. It is not imported.
    Global(Box<(String, String)>),
    /// An object that the surrounding file stores, identified by this value.
    Persistent(Id),
    /// The result of a call or of a class that was instantiated.
    Call(Box<Call>),
}

/// A call that was recorded, not made.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The called class or function.
    pub callable: Id,
    /// Its arguments, in order.
    pub arguments: Box<[Id]>,
    /// The state that was set in the result (`BUILD`); the last one if there were several.
    pub state: Option<Id>,
    /// Items that were appended to the result.
    pub items: Vec<Id>,
    /// Keys and values that were set in the result.
    pub entries: Vec<(Id, Id)>,
}

/// All values of one pickle.
#[derive(Debug)]
pub struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
}

impl Pickle {
    /// The value of the pickle.
    pub fn root(&self) -> Id {
        self.root
    }

    /// A value by its index.
    pub fn node(&self, id: Id) -> &Node {
        self.nodes.get(id.0 as usize).unwrap_or(&Node::None)
    }

    /// All values, in the order of their creation.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The value of a string.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of an integer.
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The value of a size or count.
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

    /// Whether a value is this class or function.
    pub fn is_global(&self, id: Id, module: &str, name: &str) -> bool {
        self.global(id) == Some((module, name))
    }

    /// A recorded call.
    pub fn call(&self, id: Id) -> Option<&Call> {
        match self.node(id) {
            Node::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Keys and values of a dictionary: a plain one, or an `OrderedDict` or `defaultdict` in any pickled form.
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

    /// The value under a string key. If it was set several times, the last one, as in Python.
    pub fn get(&self, entries: &[(Id, Id)], key: &str) -> Option<Id> {
        entries.iter().rev().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }
}
