//! The result of `amlrun model inspect`, for scripts.

use serde::Serialize;

use crate::model_file::contents::{Kind, LazyTensor, Module, Role};
use crate::model_file::file::ModelFile;
use crate::model_file::safety::{Import, Safety};
use crate::model_file::{saved, words};

/// The description of a model file. Its JSON form is stable: names and types do not change.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The kind of the file.
    pub kind: Kind,
    /// Whether loading it in Python would be safe.
    pub safety: Safety,
    /// What loading would import, as dotted names.
    pub imports: Vec<String>,
    /// The number of elements of the model's parameters. Optimizer state and known buffers do not count, and tied
    /// parameters count once.
    pub parameters: u64,
    /// The bytes of all tensors. A shared storage counts once.
    pub bytes: u64,
    /// The tensors, in the order of the file.
    pub tensors: Vec<TensorSummary>,
    /// The module tree. `null` if the file has none.
    pub modules: Option<ModuleSummary>,
    /// Remarks, one sentence each.
    pub notes: Vec<String>,
}

/// One tensor of an [`Inspection`].
#[derive(Debug, Clone, Serialize)]
pub struct TensorSummary {
    /// The name in the `state_dict`, or the path of keys that leads to it.
    pub name: String,
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// The element type in torch's spelling, without `torch.`.
    pub dtype: &'static str,
    /// The size of all its elements in bytes.
    pub bytes: u64,
}

/// One module of an [`Inspection`].
#[derive(Debug, Clone, Serialize)]
pub struct ModuleSummary {
    /// The name of the parent's attribute; empty for the model itself.
    pub name: String,
    /// The name of its class.
    pub class: String,
    /// Its submodules.
    pub children: Vec<ModuleSummary>,
}

impl From<&Module> for ModuleSummary {
    fn from(module: &Module) -> Self {
        Self {
            name: words::printable(&module.name, 200),
            class: module.class.clone(),
            children: module.children.iter().map(Self::from).collect(),
        }
    }
}

impl ModelFile {
    /// The description for scripts.
    pub fn inspection(&self) -> Inspection {
        let contents = &self.contents;
        let tensor = |tensor: &LazyTensor| TensorSummary {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            dtype: tensor.scalar_type.torch_name(),
            bytes: tensor.bytes(),
        };
        let mut notes = vec![self.saved.clone()];
        if !self.loads.is_empty() {
            notes.push(format!("load it with {}", self.loads));
        }
        notes.extend(contents.notes.iter().cloned());
        notes.extend(saved::notes(contents));
        notes.extend(self.tricks.iter().cloned());
        notes.extend(self.doubts.iter().cloned());
        notes.extend(self.reservations.iter().cloned());
        let suspicious = self.imports.iter().filter(|import| import.safety != Safety::Safe);
        notes.extend(suspicious.map(|import| format!("{} {}", import.dotted(), import.power)));
        for tensor in contents.tensors.iter().filter(|tensor| tensor.special.is_some()).take(20) {
            let special = tensor.special.as_deref().unwrap_or_default();
            notes.push(format!("{} is {special}: its values cannot be read", words::printable(&tensor.name, 120)));
        }
        notes.extend(self.ties());
        notes.retain(|note| !note.is_empty());
        Inspection {
            kind: contents.kind,
            safety: self.safety,
            imports: self.imports.iter().map(Import::dotted).collect(),
            parameters: self.parameters(),
            bytes: self.bytes(),
            tensors: contents.tensors.iter().map(tensor).collect(),
            modules: contents.modules.as_ref().map(ModuleSummary::from),
            notes,
        }
    }

    /// The number of elements of the model's parameters.
    pub fn parameters(&self) -> u64 {
        let mut seen = std::collections::HashSet::new();
        let mut all = 0u64;
        for tensor in &self.contents.tensors {
            let once = tensor.storage.is_none()
                || seen.insert((tensor.storage, tensor.offset, &tensor.shape, &tensor.strides));
            let counts = match tensor.role {
                Role::Parameter => true,
                Role::Unsaid => !is_buffer(&tensor.name),
                Role::Buffer | Role::Optimizer => false,
            };
            if once && counts {
                all = all.saturating_add(tensor.elements());
            }
        }
        all
    }

    /// The bytes of all tensors. A storage that several tensors share counts once.
    pub fn bytes(&self) -> u64 {
        let mut shared: std::collections::HashMap<usize, u64> = std::collections::HashMap::new();
        for tensor in &self.contents.tensors {
            // Each view counts with its elements, but all views of a storage together at most with the size of the
            // storage.
            let Some(index) = tensor.storage else { continue };
            let whole = self.contents.storages.get(index).map_or(0, crate::model_file::source::Section::length);
            let sum = shared.entry(index).or_default();
            *sum = sum.saturating_add(tensor.bytes()).min(whole);
        }
        shared.values().fold(0, |all, bytes| all.saturating_add(*bytes))
    }

    /// A note for each group of tied tensors.
    fn ties(&self) -> Vec<String> {
        let mut groups: std::collections::BTreeMap<(usize, usize), Vec<&LazyTensor>> =
            std::collections::BTreeMap::new();
        for tensor in &self.contents.tensors {
            if let Some(storage) = tensor.storage.filter(|_| tensor.elements() > 0) {
                groups.entry((storage, tensor.offset)).or_default().push(tensor);
            }
        }
        let tied = groups.values().filter(|group| group.len() > 1);
        tied.take(10)
            .map(|group| {
                let names: Vec<_> = group.iter().take(6).map(|tensor| words::printable(&tensor.name, 120)).collect();
                format!("tied (sharing one storage): {}", names.join(" = "))
            })
            .collect()
    }
}

/// Known names of the buffers of normalisation layers, for files that do not mark buffers.
fn is_buffer(name: &str) -> bool {
    matches!(name.rsplit('.').next(), Some("running_mean" | "running_var" | "num_batches_tracked"))
}
