//! The instructions that import, call and modify in Python. Here they are recorded, together with the uses of imports.

use super::machine::{Done, HEAP, LINE, Machine, Manner};
use super::value::{Call, Id, Node};
use super::{PickleError, Uses};

/// The maximum number of classes and functions that one pickle may name.
const IMPORTS: usize = 20_000;

impl Machine<'_> {
    /// Handles the instructions that import and call in Python.
    pub(super) fn execute_object(&mut self, code: u8) -> Done {
        match code {
            b'c' => {
                let (module, name) = self.two_lines()?;
                let id = self.global(module, name)?;
                self.push(id)
            }
            0x93 => {
                let pair = self.pop_many(2)?;
                let word = |id: Id| match &self.nodes[id.0 as usize] {
                    Node::Text(text) => Some(text.to_string()),
                    _ => None,
                };
                let (Some(module), Some(name)) = (word(pair[0]), word(pair[1])) else {
                    self.evidence.trick("imports something whose name is computed during loading");
                    return self.make(Node::Global(Box::default()));
                };
                let id = self.global(module, name)?;
                self.push(id)
            }
            0x82..=0x84 => {
                let number: u64 = match code {
                    0x82 => self.stream.byte()?.into(),
                    0x83 => u16::from_le_bytes(self.stream.take()?).into(),
                    _ => self.length4()?,
                };
                self.evidence.trick("uses a code of copyreg's extension registry, which can refer to anything");
                let id = self.global("copyreg".to_owned(), format!("_extension_{number}"))?;
                self.push(id)
            }
            b'R' => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, arguments, Uses::CALLED)
            }
            0x81 => {
                let arguments = self.pop()?;
                let class = self.pop()?;
                self.call(class, arguments, Uses::MADE)
            }
            0x92 => {
                let three = self.pop_many(3)?;
                self.call(three[0], three[1], Uses::MADE)
            }
            b'i' => {
                let (module, name) = self.two_lines()?;
                let class = self.global(module, name)?;
                let arguments = self.take_mark()?;
                self.write_down(class, arguments.into(), Uses::CALLED)
            }
            b'o' => {
                let mut all = self.take_mark()?;
                if all.is_empty() {
                    return self.broken("the class is missing".to_owned());
                }
                let class = all.remove(0);
                self.write_down(class, all.into(), Uses::CALLED)
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                self.change(target, Uses::STATE);
                if let Node::Call(call) = &mut self.nodes[target.0 as usize] {
                    call.state = Some(state);
                }
                if self.manner == Manner::Joblib && self.is_array(target) {
                    self.array(target)?;
                }
                Ok(())
            }
            b'P' => self.broken("torch never writes persistent keys of this kind".to_owned()),
            b'Q' if self.manner != Manner::Torch => {
                self.broken("a plain pickle cannot have persistent keys".to_owned())
            }
            b'Q' => {
                let key = self.pop()?;
                self.make(Node::Persistent(key))
            }
            0x97 => self.broken("the buffers of this pickle are in another file".to_owned()),
            0x98 => {
                self.evidence.doubt("the pickle changes a buffer that it does not have");
                Ok(())
            }
            _ => Err(PickleError::Unknown { code, at: self.at }),
        }
    }

    /// Records that a value is modified. Pickles usually modify objects that they created. To modify an import changes
    /// the program that loads it. Whether anything else can be modified depends on the reader.
    pub(super) fn change(&mut self, target: Id, how: Uses) {
        match &self.nodes[target.0 as usize] {
            Node::List(_) | Node::Set(_) if how == Uses::ITEMS => {}
            Node::Dict(_) if how == Uses::ENTRIES => {}
            Node::Call(call) => {
                if let Some(Node::Global(class)) = self.class_of(call).map(|id| &self.nodes[id.0 as usize]) {
                    self.evidence.used(class, how);
                }
            }
            Node::Global(_) | Node::Persistent(_) => {
                self.evidence.trick("sets attributes of something that it has imported");
            }
            _ => self.evidence.doubt("the pickle changes an immutable value"),
        }
    }

    fn call(&mut self, callable: Id, arguments: Id, how: Uses) -> Done {
        let arguments = match &self.nodes[arguments.0 as usize] {
            Node::Tuple(items) => items.clone(),
            Node::List(items) => items.as_slice().into(),
            Node::Call(_) | Node::Persistent(_) | Node::Global(_) => {
                self.evidence.doubt("the arguments of a call are computed during loading");
                Box::default()
            }
            _ => return self.broken("the arguments are not a tuple".to_owned()),
        };
        self.write_down(callable, arguments, how)
    }

    fn write_down(&mut self, callable: Id, arguments: Box<[Id]>, how: Uses) -> Done {
        let call = Call { callable, arguments, state: None, items: Vec::new(), entries: Vec::new() };
        let text = if call.arguments.iter().any(|&argument| self.is_free_text(argument, 3)) {
            Uses::TEXT
        } else {
            Uses::NAMED
        };
        // Old whole-model pickles store classes as persistent objects of the file. Those count as named too.
        match self.class_of(&call).map(|id| &self.nodes[id.0 as usize]) {
            Some(Node::Global(class)) if self.is_rebuilt(&call) => self.evidence.used(class, Uses::MADE),
            Some(Node::Global(class)) => self.evidence.used(class, how.and(text)),
            _ => self.evidence.trick("calls something that it has computed"),
        }
        if let Node::Global(function) = &self.nodes[callable.0 as usize] {
            self.evidence.used(function, how);
        }
        self.make(Node::Call(Box::new(call)))
    }

    /// Protocols 0 and 1 create objects with a function that takes the class.
    fn is_rebuilt(&self, call: &Call) -> bool {
        matches!(&self.nodes[call.callable.0 as usize], Node::Global(function)
            if matches!(function.0.as_str(), "copy_reg" | "copyreg") && function.1 == "_reconstructor")
    }

    /// What a call creates an object of: the class, or the function whose result it is.
    fn class_of(&self, call: &Call) -> Option<Id> {
        match &self.nodes[call.callable.0 as usize] {
            Node::Global(_) if self.is_rebuilt(call) => call.arguments.first().copied(),
            Node::Global(_) => Some(call.callable),
            // torch before 1.6 stores classes with their source: ('module', class, file, source).
            Node::Persistent(key) => match &self.nodes[key.0 as usize] {
                Node::Tuple(items) => items.get(1).copied(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether an argument is or contains a text that may be a path, a command or code, and not just a word.
    fn is_free_text(&self, id: Id, deep: u8) -> bool {
        let any = |items: &[Id]| deep > 0 && items.iter().take(64).any(|&item| self.is_free_text(item, deep - 1));
        match &self.nodes[id.0 as usize] {
            Node::Text(text) => {
                text.len() > 64 || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+".contains(&byte))
            }
            Node::Tuple(items) => any(items),
            Node::List(items) => any(items),
            Node::Dict(pairs) => {
                pairs.iter().take(64).any(|(_, value)| deep > 0 && self.is_free_text(*value, deep - 1))
            }
            _ => false,
        }
    }

    fn global(&mut self, module: String, name: String) -> Result<Id, PickleError> {
        let key = (module, name);
        if let Some(&id) = self.globals.get(&key) {
            return Ok(id);
        }
        // The name is stored in the arena, in this map and twice in the evidence.
        self.budget.memory(4 * (HEAP + (key.0.len() + key.1.len()) as u64))?;
        if self.globals.len() >= IMPORTS {
            return Err(PickleError::TooMuch("imports"));
        }
        // No file can be a module with such a name, so every reader stops here.
        let possible = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
        if key.0.is_empty() || !key.0.chars().all(possible) {
            return self.broken("invalid module name".to_owned());
        }
        self.evidence.import(&key.0, &key.1);
        let id = self.node(Node::Global(Box::new(key.clone())))?;
        self.globals.insert(key, id);
        Ok(id)
    }

    fn two_lines(&mut self) -> Result<(String, String), PickleError> {
        let word = |bytes: Vec<u8>| String::from_utf8(bytes);
        let (module, name) = (self.stream.line(LINE)?, self.stream.line(LINE)?);
        match (word(module), word(name)) {
            (Ok(module), Ok(name)) => Ok((module, name)),
            _ => self.broken("a name is not valid UTF-8".to_owned()),
        }
    }
}
