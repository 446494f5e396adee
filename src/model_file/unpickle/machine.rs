//! The stack machine: one function with an arm for each instruction.

use std::collections::HashMap;

use super::opcode::name;
use super::value::{Id, Node, Pickle};
use super::{Budget, Evidence, PickleError, Stream, Uses};

/// Memory costs in bytes, which are charged to the budget.
const NODE: u64 = 32;
const LINK: u64 = 4;
pub(super) const HEAP: u64 = 32;
const CALL: u64 = 128;
const MEMO: u64 = 8;
const STRAY_MEMO: u64 = 40;
/// The maximum length of a module, name, number, key or text in the line-based forms.
pub(super) const LINE: usize = 1 << 20;

/// The program that would load the pickle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// torch. The surrounding file has objects under persistent keys.
    Torch,
    /// joblib. Its arrays are inside the pickle.
    Joblib,
    /// `pickle.load`.
    Plain,
}

/// Runs one pickle up to its `STOP` and returns its value. The stream is then positioned after it.
///
/// # Errors
/// When it is incomplete or exceeds the budget. What it would have imported before is in `evidence`.
pub fn read(
    stream: &mut Stream,
    manner: Manner,
    budget: &mut Budget,
    evidence: &mut Evidence,
) -> Result<Pickle, PickleError> {
    let machine = Machine {
        stream,
        manner,
        frame_end: None,
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
    pub(super) manner: Manner,
    /// The end of the last announced frame.
    pub(super) frame_end: Option<u64>,
    pub(super) budget: &'a mut Budget,
    pub(super) evidence: &'a mut Evidence,
    pub(super) nodes: Vec<Node>,
    stack: Vec<Id>,
    /// The height of the stack at each `MARK`.
    marks: Vec<usize>,
    /// The memo, by key. Keys count up from 0; others are stored separately.
    memo: Vec<Id>,
    stray_memo: HashMap<u64, Id>,
    pub(super) globals: HashMap<(String, String), Id>,
    /// The position of the current instruction, for messages.
    pub(super) at: u64,
    pub(super) name: &'static str,
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
            if !matches!(
                code,
                0x80 | b'('
                    | b'N'
                    | 0x88
                    | 0x89
                    | b'J'
                    | b'K'
                    | b'M'
                    | b'G'
                    | 0x8a
                    | b'X'
                    | b'U'
                    | b']'
                    | b')'
                    | b'}'
                    | 0x8f
                    | b't'
                    | 0x85
                    ..=0x87 | b'a' | b'e' | b's' | b'u' | b'q' | b'r' | b'h' | b'j' | b'c' | 0x81 | b'R' | b'b' | b'Q'
            ) {
                let name = self.name;
                self.evidence.refused_by_strict(|| format!("the instruction {name}"));
            }
            self.execute(code)?;
        }
    }

    fn execute(&mut self, code: u8) -> Done {
        match code {
            0x80 => match self.stream.byte()? {
                0..=5 => Ok(()),
                other => self.broken(format!("unknown protocol {other}")),
            },
            0x95 => {
                // FRAME: a hint for readers with a buffer.
                let length = u64::from_le_bytes(self.stream.take()?);
                self.frame_end = self.stream.position().checked_add(length);
                Ok(())
            }
            b'(' => {
                self.budget.memory(8)?;
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => {
                // POP removes the mark if there is nothing on top of it.
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
            b'V' => self.unicode_line(),
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
                    None => self.broken(format!("nothing is stored under {key}")),
                }
            }
            _ => self.execute_object(code),
        }
    }

    pub(super) fn broken<T>(&self, reason: String) -> Result<T, PickleError> {
        Err(PickleError::Broken { name: self.name, at: self.at, reason })
    }

    pub(super) fn push(&mut self, id: Id) -> Done {
        self.budget.memory(LINK)?;
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn node(&mut self, node: Node) -> Result<Id, PickleError> {
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

    pub(super) fn top(&self) -> Result<Id, PickleError> {
        match self.stack.last() {
            Some(&id) if self.stack.len() > self.floor() => Ok(id),
            _ => self.broken("the stack is empty".to_owned()),
        }
    }

    pub(super) fn pop(&mut self) -> Result<Id, PickleError> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    pub(super) fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, PickleError> {
        match self.stack.len().checked_sub(count) {
            Some(rest) if rest >= self.floor() => Ok(self.stack.split_off(rest)),
            _ => self.broken("the stack is empty".to_owned()),
        }
    }

    /// Removes and returns everything above the last `MARK`.
    pub(super) fn take_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        match self.marks.pop() {
            // Not `split_off`, which would move the whole stack's memory if the mark is at the bottom.
            Some(height) => Ok(self.stack.drain(height..).collect()),
            None => self.broken("the mark is missing".to_owned()),
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
        if more.is_empty() {
            return Ok(()); // readers do not even look at the list
        }
        self.budget.memory(HEAP + 2 * LINK * more.len() as u64)?;
        self.change(target, Uses::ITEMS);
        match &mut self.nodes[target.0 as usize] {
            Node::List(items) | Node::Set(items) => items.append(&mut more),
            Node::Call(call) => call.items.append(&mut more),
            _ => {}
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Done {
        let mut more = self.pairs(items)?;
        let target = self.top()?;
        if more.is_empty() {
            return Ok(());
        }
        self.budget.memory(HEAP + 4 * LINK * more.len() as u64)?;
        self.change(target, Uses::ENTRIES);
        match &mut self.nodes[target.0 as usize] {
            Node::Dict(pairs) => pairs.append(&mut more),
            Node::Call(call) => call.entries.append(&mut more),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn length4(&mut self) -> Result<u64, PickleError> {
        Ok(u32::from_le_bytes(self.stream.take()?).into())
    }
}
