//! Finds the tensors and modules in a saved object, at any depth.
//!
//! A small pickle can describe a huge value: a dictionary that holds the same dictionary twice, thirty levels deep. So
//! the walk has limits of depth, visits and bytes for names, and never follows a cycle.

use super::layers::{self, Attributes};
use super::rebuild::{self, Storages};
use crate::model_file::contents::{Contents, Kind, LazyTensor, Module, Role};
use crate::model_file::unpickle::{Call, Id, Node, Pickle};
use crate::model_file::{Error, words};

const DEPTH: usize = 100;
const VISITS: u64 = 2_000_000;
const TENSORS: usize = 150_000;
const MODULES: usize = 50_000;
const NAME: usize = 1024;
const NAMES: usize = 32 << 20;
/// How many plain values of a checkpoint are described.
const VALUES: usize = 12;

/// The contents of a pickle over these storages. The kind is determined from its structure alone.
///
/// # Errors
/// When it has an invalid tensor, or exceeds a limit.
pub fn contents(pickle: &Pickle, storages: &Storages) -> Result<Contents, Error> {
    let mut walk = Walk {
        pickle,
        storages,
        found: Contents::new(Kind::Checkpoint),
        roots: Vec::new(),
        path: Vec::new(),
        visits: 0,
        names: 0,
        modules: 0,
    };
    let root = pickle.root();
    if walk.module_state(root).is_some() {
        walk.found.kind = Kind::Module;
    } else if let Some(entries) = pickle.entries(root) {
        if is_state_dict(pickle, &entries, storages)? {
            walk.found.kind = Kind::StateDict;
        } else {
            walk.describe(&entries);
        }
    }
    walk.visit(String::new(), root, Role::Unsaid)?;
    let mut found = walk.found;
    // A single object without a tensor is not a checkpoint.
    let holds = pickle.entries(root).is_some() || pickle.items(root).is_some();
    if found.kind == Kind::Checkpoint && found.tensors.is_empty() && !holds {
        found.kind = Kind::Unknown;
    }
    found.modules = match walk.roots.len() {
        0 => None,
        1 if found.kind == Kind::Module => walk.roots.pop(),
        _ => Some(Module {
            name: String::new(),
            class: "dict".to_owned(),
            arguments: String::new(),
            children: walk.roots,
        }),
    };
    Ok(found)
}

/// Whether a dictionary has only string keys and tensor values.
fn is_state_dict(pickle: &Pickle, entries: &[(Id, Id)], storages: &Storages) -> Result<bool, Error> {
    for &(key, value) in entries {
        if pickle.text(key).is_none() || rebuild::tensor(pickle, value, storages)?.is_none() {
            return Ok(false);
        }
    }
    Ok(!entries.is_empty())
}

struct Walk<'a> {
    pickle: &'a Pickle,
    storages: &'a Storages,
    found: Contents,
    roots: Vec<Module>,
    /// The nodes from the root to here, for detecting cycles.
    path: Vec<Id>,
    visits: u64,
    names: usize,
    modules: usize,
}

/// The attributes of a module: all of them, its parameters, its buffers, its submodules.
struct ModuleState {
    all: Vec<(Id, Id)>,
    parameters: Vec<(Id, Id)>,
    buffers: Vec<(Id, Id)>,
    children: Vec<(Id, Id)>,
}

impl Walk<'_> {
    fn visit(&mut self, name: String, id: Id, role: Role) -> Result<(), Error> {
        self.spend(1)?;
        if self.path.len() > DEPTH || name.len() > NAME {
            return Err(Error::Archive("the pickle is nested too deeply for a model".to_owned()));
        }
        if self.path.contains(&id) {
            return Ok(());
        }
        if let Some(tensor) = rebuild::tensor(self.pickle, id, self.storages)? {
            let role = if role == Role::Unsaid { tensor.role } else { role };
            return self.found_tensor(LazyTensor { name, role, ..tensor });
        }
        self.path.push(id);
        let done = self.visit_inside(&name, id, role);
        self.path.pop();
        done
    }

    fn visit_inside(&mut self, name: &str, id: Id, role: Role) -> Result<(), Error> {
        let pickle = self.pickle;
        if let Some(state) = self.module_state(id) {
            let own = name.rsplit('.').next().unwrap_or_default().to_owned();
            let module = self.module(own, name, id, &state)?;
            // Only the outermost module of a path is a root of the tree.
            self.roots.push(module);
            return Ok(());
        }
        if let Some(entries) = pickle.entries(id) {
            // The state of an optimizer, by its structure: {'state': …, 'param_groups': …}.
            let optimizer = pickle.get(&entries, "state").is_some() && pickle.get(&entries, "param_groups").is_some();
            let role = if optimizer { Role::Optimizer } else { role };
            self.spend(entries.len())?;
            for (key, value) in entries {
                if !self.is_plain(value) {
                    let key = self.key(key)?;
                    self.visit(join(name, &key), value, role)?;
                }
            }
            return Ok(());
        }
        match pickle.node(id) {
            Node::List(items) | Node::Set(items) => self.visit_all(name, items, role),
            Node::Tuple(items) => self.visit_all(name, items, role),
            Node::Call(call) => {
                // For an unknown class: its state, its items and its entries.
                let state = call.state.map_or_else(Vec::new, |state| self.state_entries(state));
                self.spend(state.len() + call.entries.len())?;
                for (key, value) in state.into_iter().chain(call.entries.iter().copied()) {
                    if !self.is_plain(value) {
                        let key = self.key(key)?;
                        self.visit(join(name, &key), value, role)?;
                    }
                }
                self.visit_all(name, &call.items, role)
            }
            _ => Ok(()),
        }
    }

    fn visit_all(&mut self, name: &str, items: &[Id], role: Role) -> Result<(), Error> {
        self.spend(items.len())?;
        for (index, &item) in items.iter().enumerate() {
            if !self.is_plain(item) {
                self.visit(join(name, &index.to_string()), item, role)?;
            }
        }
        Ok(())
    }

    /// A module with its submodules. Its tensors are collected in the order of `state_dict()`.
    fn module(&mut self, own: String, full: &str, id: Id, state: &ModuleState) -> Result<Module, Error> {
        self.modules += 1;
        self.spend(state.all.len() + state.parameters.len() + state.buffers.len() + state.children.len())?;
        if self.modules > MODULES {
            return Err(Error::Archive("the pickle has too many modules for a model".to_owned()));
        }
        let class = self.class(id);
        let attributes = Attributes {
            pickle: self.pickle,
            storages: self.storages,
            entries: &state.all,
            parameters: &state.parameters,
        };
        let mut module =
            Module { name: own, arguments: layers::arguments(&class, &attributes), class, children: Vec::new() };
        let unsaved = self.unsaved_buffers(state);
        for (role, tensors) in [(Role::Parameter, &state.parameters), (Role::Buffer, &state.buffers)] {
            for &(key, value) in tensors {
                let key = self.key(key)?;
                if self.is_plain(value) || role == Role::Buffer && unsaved.contains(&key) {
                    continue;
                }
                self.visit(join(full, &key), value, role)?;
            }
        }
        for &(key, value) in &state.children {
            if self.path.contains(&value) || *self.pickle.node(value) == Node::None {
                continue;
            }
            let key = self.key(key)?;
            let name = join(full, &key);
            let Some(inner) = self.module_state(value) else {
                self.visit(name, value, Role::Unsaid)?;
                continue;
            };
            if self.path.len() > DEPTH {
                return Err(Error::Archive("the modules are nested too deeply for a model".to_owned()));
            }
            self.path.push(value);
            let child = self.module(key, &name, value, &inner);
            self.path.pop();
            module.children.push(child?);
        }
        Ok(module)
    }

    /// The attributes of a value that is a module. `nn.Module` stores its parts in three dictionaries, TorchScript
    /// stores all of them together.
    fn module_state(&self, id: Id) -> Option<ModuleState> {
        let call = self.pickle.call(id)?;
        let all = self.state_entries(call.state?);
        let (module, _) = self.class_of(call)?;
        if module == "__torch__" || module.starts_with("__torch__.") {
            return Some(self.script_state(all));
        }
        let part = |name: &str| self.pickle.get(&all, name).and_then(|id| self.pickle.entries(id));
        let (parameters, children) = (part("_parameters")?, part("_modules")?);
        let buffers = part("_buffers").unwrap_or_default();
        Some(ModuleState { parameters, buffers, children, all })
    }

    fn script_state(&self, all: Vec<(Id, Id)>) -> ModuleState {
        let is_object = |id: Id| self.pickle.call(id).is_some_and(|call| call.state.is_some());
        let (mut parameters, mut buffers, mut children) = (Vec::new(), Vec::new(), Vec::new());
        for &(key, value) in &all {
            if is_object(value) {
                children.push((key, value));
            } else if let Ok(Some(tensor)) = rebuild::tensor(self.pickle, value, self.storages) {
                if tensor.role == Role::Parameter { &mut parameters } else { &mut buffers }.push((key, value));
            }
        }
        ModuleState { all, parameters, buffers, children }
    }

    /// A state is a dictionary, or a tuple of a dictionary and the values of slots.
    fn state_entries(&self, state: Id) -> Vec<(Id, Id)> {
        let first = match self.pickle.node(state) {
            Node::Tuple(items) => items.iter().copied().find(|&item| self.pickle.entries(item).is_some()),
            _ => Some(state),
        };
        first.and_then(|id| self.pickle.entries(id)).unwrap_or_default()
    }

    fn unsaved_buffers(&self, state: &ModuleState) -> Vec<String> {
        let Some(set) = self.pickle.get(&state.all, "_non_persistent_buffers_set") else { return Vec::new() };
        let items = match self.pickle.node(set) {
            Node::Set(items) => items.as_slice(),
            Node::Call(call) => match call.arguments.first().map(|&list| self.pickle.node(list)) {
                Some(Node::List(items)) => items.as_slice(),
                _ => &[],
            },
            _ => &[],
        };
        items.iter().filter_map(|&item| self.pickle.text(item)).map(str::to_owned).collect()
    }

    fn class(&self, id: Id) -> String {
        let class = self.pickle.call(id).and_then(|call| self.class_of(call));
        words::printable(class.map_or("object", |(_, name)| name), 120)
    }

    /// Module and name of an object's class.
    fn class_of(&self, call: &Call) -> Option<(&str, &str)> {
        match self.pickle.node(call.callable) {
            // The old format stores classes with their source: ('module', class, file, source).
            Node::Persistent(key) => self.pickle.items(*key)?.get(1).and_then(|&class| self.pickle.global(class)),
            _ => match (self.pickle.global(call.callable)?, call.arguments.first()) {
                // Protocols 0 and 1 create objects with a function that takes the class.
                (("copy_reg" | "copyreg", "_reconstructor"), Some(&class)) => self.pickle.global(class),
                (class, _) => Some(class),
            },
        }
    }

    fn key(&self, key: Id) -> Result<String, Error> {
        match self.pickle.node(key) {
            Node::Text(text) if text.len() > NAME => Err(Error::Archive("a key is too long for a name".to_owned())),
            Node::Text(text) => Ok(text.to_string()),
            Node::Int(number) => Ok(number.to_string()),
            _ => Ok(layers::python(self.pickle, key, 1)),
        }
    }

    /// Charges the visit of that many values to the limits.
    fn spend(&mut self, values: usize) -> Result<(), Error> {
        self.visits += values as u64;
        if self.visits > VISITS {
            return Err(Error::Archive("the pickle refers to the same values too often for a model".to_owned()));
        }
        Ok(())
    }

    /// Whether a value cannot contain a tensor.
    fn is_plain(&self, id: Id) -> bool {
        !matches!(self.pickle.node(id), Node::List(_) | Node::Tuple(_) | Node::Dict(_) | Node::Set(_) | Node::Call(_))
    }

    fn found_tensor(&mut self, tensor: LazyTensor) -> Result<(), Error> {
        self.names += tensor.name.len();
        if tensor.name.len() > NAME || self.names > NAMES || self.found.tensors.len() >= TENSORS {
            return Err(Error::Archive("the pickle has too many tensors, or too long names, for a model".to_owned()));
        }
        self.found.tensors.push(tensor);
        Ok(())
    }

    /// Describes the other values at the top of a checkpoint, in one note.
    fn describe(&mut self, entries: &[(Id, Id)]) {
        let mut parts = Vec::new();
        for &(key, value) in entries.iter().take(VALUES) {
            let key = self
                .pickle
                .text(key)
                .map_or_else(|| layers::python(self.pickle, key, 1), |key| words::printable(key, 60));
            parts.push(format!("{key}: {}", layers::python(self.pickle, value, 1)));
        }
        if entries.len() > VALUES {
            parts.push(format!("and {} more", entries.len() - VALUES));
        }
        if !parts.is_empty() {
            self.found.notes.push(format!("a dictionary with {}", parts.join(", ")));
        }
        let has = |name: &str| self.pickle.get(entries, name).is_some();
        if has("pytorch-lightning_version") {
            self.found.notes.push("a checkpoint of Lightning: the weights are under state_dict".to_owned());
        }
    }
}

fn join(name: &str, key: &str) -> String {
    if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") }
}
