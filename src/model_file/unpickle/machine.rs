//! The stack machine itself: one function, one arm for each instruction.

use std::collections::HashMap;

use super::opcode::name;
use super::value::{Call, Id, Node, Pickle};
use super::{Budget, Evidence, PickleError, Stream};

/// Costs in bytes of the budget: about what each thing takes in memory.
const NODE: u64 = 32;
const LINK: u64 = 4;
const HEAP: u64 = 32;
const CALL: u64 = 128;
const MEMO: u64 = 8;
const STRAY_MEMO: u64 = 40;
/// The longest module, name, number or key in the line-based forms.
pub(super) const LINE: usize = 1 << 16;
/// The most classes and functions that one pickle may name.
const IMPORTS: usize = 20_000;

/// Runs one pickle up to its `STOP` and gives what it has built; the stream then stands behind it.
///
/// # Errors
/// When it is no whole pickle or too costly. What it would have imported until then is in `evidence`.
pub fn read(stream: &mut Stream, budget: &mut Budget, evidence: &mut Evidence) -> Result<Pickle, PickleError> {
    let machine = Machine {
        stream,
        budget,
        evidence,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        stray_memo: HashMap::new(),
        globals: HashMap::new(),
        at: 0,
        name: "",
    };
    machine.run()
}

pub(super) struct Machine<'a> {
    pub(super) stream: &'a mut Stream,
    budget: &'a mut Budget,
    evidence: &'a mut Evidence,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack at each `MARK`.
    marks: Vec<usize>,
    /// What was kept, by its key: keys count up from 0, those that do not are kept apart.
    memo: Vec<Id>,
    stray_memo: HashMap<u64, Id>,
    globals: HashMap<(String, String), Id>,
    /// Where the instruction stands that is being done, and its name, for messages.
    at: u64,
    name: &'static str,
}

pub(super) type Done = Result<(), PickleError>;

impl Machine<'_> {
    fn run(mut self) -> Result<Pickle, PickleError> {
        loop {
            self.budget.step()?;
            self.at = self.stream.position();
            let code = self.stream.byte()?;
            self.name = name(code).ok_or(PickleError::Unknown { code, at: self.at })?;
            if code == b'.' {
                let root = self.pop()?;
                return Ok(Pickle { nodes: self.nodes, root });
            }
            self.obey(code)?;
        }
    }

    fn obey(&mut self, code: u8) -> Done {
        match code {
            0x80 => match self.stream.byte()? {
                0..=5 => Ok(()),
                other => self.broken(format!("protocol {other} is not known")),
            },
            0x95 => self.stream.skip(8), // FRAME: a hint for readers that buffer
            b'(' => {
                self.budget.memory(8)?;
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => {
                // POP takes the mark itself when nothing lies on it.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                    return Ok(());
                }
                self.pop().map(drop)
            }
            b'1' => self.take_mark().map(drop),
            b'2' => {
                let top = self.top()?;
                self.push(top)
            }
            b'N' => self.make(Node::None),
            0x88 => self.make(Node::Bool(true)),
            0x89 => self.make(Node::Bool(false)),
            b'I' | b'L' | b'F' => self.number_line(code),
            b'J' => {
                let number = i32::from_le_bytes(self.stream.take()?);
                self.make(Node::Int(number.into()))
            }
            b'K' => {
                let number = self.stream.byte()?;
                self.make(Node::Int(number.into()))
            }
            b'M' => {
                let number = u16::from_le_bytes(self.stream.take()?);
                self.make(Node::Int(number.into()))
            }
            0x8a | 0x8b => {
                let length = if code == 0x8a { self.stream.byte()?.into() } else { self.length4()? };
                self.long(length)
            }
            b'G' => {
                let number = f64::from_be_bytes(self.stream.take()?);
                self.make(Node::Float(number))
            }
            b'S' => self.string_line(),
            b'V' => {
                let line = self.stream.line(LINE)?;
                self.text(line)
            }
            b'T' | b'U' | b'X' | 0x8c | 0x8d => {
                let length = match code {
                    b'U' | 0x8c => self.stream.byte()?.into(),
                    0x8d => u64::from_le_bytes(self.stream.take()?),
                    _ => self.length4()?,
                };
                self.stream.check(length)?;
                self.budget.memory(length)?;
                let bytes = self.stream.bytes(length)?;
                self.text(bytes)
            }
            b'B' | b'C' | 0x8e | 0x96 => {
                let length = match code {
                    b'C' => self.stream.byte()?.into(),
                    b'B' => self.length4()?,
                    _ => u64::from_le_bytes(self.stream.take()?),
                };
                self.stream.skip(length)?;
                self.make(Node::Bytes(length))
            }
            b']' => self.make(Node::List(Vec::new())),
            b')' => self.make(Node::Tuple(Box::default())),
            b'}' => self.make(Node::Dict(Vec::new())),
            0x8f => self.make(Node::Set(Vec::new())),
            b'l' => {
                let items = self.take_mark()?;
                self.make(Node::List(items))
            }
            b't' => {
                let items = self.take_mark()?;
                self.make(Node::Tuple(items.into()))
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(code - 0x84))?;
                self.make(Node::Tuple(items.into()))
            }
            b'd' => {
                let items = self.take_mark()?;
                let pairs = self.pairs(&items)?;
                self.make(Node::Dict(pairs))
            }
            0x91 => {
                let items = self.take_mark()?;
                self.make(Node::Set(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' | 0x90 => {
                let items = self.take_mark()?;
                self.append(items)
            }
            b's' => {
                let pair = self.pop_many(2)?;
                self.set(&pair)
            }
            b'u' => {
                let items = self.take_mark()?;
                self.set(&items)
            }
            b'p' | b'q' | b'r' | 0x94 => {
                let key = match code {
                    b'p' => self.decimal()?,
                    b'q' => self.stream.byte()?.into(),
                    b'r' => self.length4()?,
                    _ => (self.memo.len() + self.stray_memo.len()) as u64,
                };
                self.keep(key)
            }
            b'g' | b'h' | b'j' => {
                let key = match code {
                    b'g' => self.decimal()?,
                    b'h' => self.stream.byte()?.into(),
                    _ => self.length4()?,
                };
                match usize::try_from(key).ok().and_then(|key| self.memo.get(key)).or(self.stray_memo.get(&key)) {
                    Some(&id) => self.push(id),
                    None => self.broken(format!("nothing is kept under {key}")),
                }
            }
            _ => self.obey_object(code),
        }
    }

    /// The instructions that in Python import and call.
    fn obey_object(&mut self, code: u8) -> Done {
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
                    self.evidence.trick("imports something whose name is computed while it loads");
                    return self.broken("module and name must be texts".to_owned());
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
                self.evidence.trick("uses a code of copyreg's extension registry, which can stand for anything");
                let id = self.global("copyreg".to_owned(), format!("_extension_{number}"))?;
                self.push(id)
            }
            b'R' => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, arguments)
            }
            0x81 => {
                let arguments = self.pop()?;
                let class = self.pop()?;
                self.call(class, arguments)
            }
            0x92 => {
                let three = self.pop_many(3)?;
                self.call(three[0], three[1])
            }
            b'i' => {
                let (module, name) = self.two_lines()?;
                let class = self.global(module, name)?;
                let arguments = self.take_mark()?;
                self.write_down(class, arguments.into())
            }
            b'o' => {
                let mut all = self.take_mark()?;
                if all.is_empty() {
                    return self.broken("there is no class".to_owned());
                }
                let class = all.remove(0);
                self.write_down(class, all.into())
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                match &mut self.nodes[target.0 as usize] {
                    Node::Call(call) => {
                        call.state = Some(state);
                        Ok(())
                    }
                    Node::Global(_) => {
                        self.evidence.trick("sets attributes of something that it has imported");
                        Ok(())
                    }
                    _ => self.broken("a state is laid into what has none".to_owned()),
                }
            }
            b'P' => {
                let line = self.stream.line(LINE)?;
                self.text(line)?;
                let key = self.pop()?;
                self.make(Node::Persistent(key))
            }
            b'Q' => {
                let key = self.pop()?;
                self.make(Node::Persistent(key))
            }
            0x97 => self.broken("the buffers of this pickle lie outside of it".to_owned()),
            0x98 => Ok(()), // READONLY_BUFFER
            _ => Err(PickleError::Unknown { code, at: self.at }),
        }
    }

    pub(super) fn broken<T>(&self, reason: String) -> Result<T, PickleError> {
        Err(PickleError::Broken { name: self.name, at: self.at, reason })
    }

    fn push(&mut self, id: Id) -> Done {
        self.budget.memory(LINK)?;
        self.stack.push(id);
        Ok(())
    }

    fn node(&mut self, node: Node) -> Result<Id, PickleError> {
        let held = match &node {
            Node::List(items) | Node::Set(items) if !items.is_empty() => HEAP + LINK * items.len() as u64,
            Node::Tuple(items) if !items.is_empty() => HEAP + LINK * items.len() as u64,
            Node::Dict(pairs) if !pairs.is_empty() => HEAP + 2 * LINK * pairs.len() as u64,
            Node::Text(text) => HEAP + text.len() as u64,
            Node::Global(global) => 2 * HEAP + (global.0.len() + global.1.len()) as u64,
            Node::Call(call) => CALL + LINK * call.arguments.len() as u64,
            _ => 0,
        };
        self.budget.memory(NODE + held)?;
        let id = u32::try_from(self.nodes.len()).map_err(|_| PickleError::TooMuch("values"))?;
        self.nodes.push(node);
        Ok(Id(id))
    }

    pub(super) fn make(&mut self, node: Node) -> Done {
        let id = self.node(node)?;
        self.push(id)
    }

    fn keep(&mut self, key: u64) -> Done {
        let top = self.top()?;
        let dense = usize::try_from(key).unwrap_or(usize::MAX);
        if let Some(place) = self.memo.get_mut(dense) {
            *place = top;
        } else if dense == self.memo.len() && !self.stray_memo.contains_key(&key) {
            self.budget.memory(MEMO)?;
            self.memo.push(top);
        } else {
            self.budget.memory(STRAY_MEMO)?;
            self.stray_memo.insert(key, top);
        }
        Ok(())
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, PickleError> {
        match self.stack.last() {
            Some(&id) if self.stack.len() > self.floor() => Ok(id),
            _ => self.broken("the stack is empty".to_owned()),
        }
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, PickleError> {
        match self.stack.len().checked_sub(count) {
            Some(rest) if rest >= self.floor() => Ok(self.stack.split_off(rest)),
            _ => self.broken("the stack is empty".to_owned()),
        }
    }

    /// Everything above the last `MARK`, which is taken away.
    fn take_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        match self.marks.pop() {
            // Not `split_off`: that hands the whole stack's memory on when the mark is at the bottom.
            Some(height) => Ok(self.stack.drain(height..).collect()),
            None => self.broken("there is no mark".to_owned()),
        }
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, PickleError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return self.broken("a key has no value".to_owned());
        }
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }

    fn append(&mut self, mut more: Vec<Id>) -> Done {
        let target = self.top()?;
        self.budget.memory(HEAP + 2 * LINK * more.len() as u64)?;
        match &mut self.nodes[target.0 as usize] {
            Node::List(items) | Node::Set(items) => items.append(&mut more),
            Node::Call(call) => call.items.append(&mut more),
            _ => return self.broken("items are added to what is no list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Done {
        let mut more = self.pairs(items)?;
        let target = self.top()?;
        self.budget.memory(HEAP + 4 * LINK * more.len() as u64)?;
        match &mut self.nodes[target.0 as usize] {
            Node::Dict(pairs) => pairs.append(&mut more),
            Node::Call(call) => call.entries.append(&mut more),
            _ => return self.broken("keys are set in what is no dictionary".to_owned()),
        }
        Ok(())
    }

    fn call(&mut self, callable: Id, arguments: Id) -> Done {
        let arguments = match &self.nodes[arguments.0 as usize] {
            Node::Tuple(items) => items.clone(),
            Node::List(items) => items.as_slice().into(),
            _ => return self.broken("the arguments are no tuple".to_owned()),
        };
        self.write_down(callable, arguments)
    }

    fn write_down(&mut self, callable: Id, arguments: Box<[Id]>) -> Done {
        // Old whole-model pickles keep classes as persistent things of the file: those are named, too.
        if !matches!(self.nodes[callable.0 as usize], Node::Global(_) | Node::Persistent(_)) {
            self.evidence.trick("calls something that it has computed");
        }
        let call = Call { callable, arguments, state: None, items: Vec::new(), entries: Vec::new() };
        self.make(Node::Call(Box::new(call)))
    }

    fn global(&mut self, module: String, name: String) -> Result<Id, PickleError> {
        let key = (module, name);
        if let Some(&id) = self.globals.get(&key) {
            return Ok(id);
        }
        // The name is kept in the arena, in this map and twice in the evidence.
        self.budget.memory(4 * (HEAP + (key.0.len() + key.1.len()) as u64))?;
        if self.globals.len() >= IMPORTS {
            return Err(PickleError::TooMuch("imports"));
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
            _ => self.broken("a name is no UTF-8".to_owned()),
        }
    }

    fn length4(&mut self) -> Result<u64, PickleError> {
        Ok(u32::from_le_bytes(self.stream.take()?).into())
    }

    fn decimal(&mut self) -> Result<u64, PickleError> {
        let line = self.stream.line(LINE)?;
        let number = std::str::from_utf8(&line).ok().and_then(|text| text.trim().parse().ok());
        number.map_or_else(|| self.broken("the key is no number".to_owned()), Ok)
    }
}
