//! Writes a model as a TorchScript file, from an [`Architecture`] and its `state_dict`.
//!
//! A tracer would store the weights as unnamed constants. This file has a submodule for each layer and named parameters
//! instead: `torch.jit.load` shows the same `state_dict` as the safetensors file, and the model can be moved, frozen
//! and fine-tuned. Its code has a few readable lines for each layer. The format is that of `torch.jit.save` (file
//! format version 3): `data.pkl` holds the module tree, `data/N` the bytes, `code/` the classes.

use std::path::Path;

use crate::model_file::architecture::Layer;
use crate::model_file::archive::Archive;
use crate::model_file::pickle::{Value, encode};
use crate::model_file::{Architecture, Error, Tensor, write_file};

/// The name of the network's class, and of the folder in the archive.
const CLASS: &str = "SimpleNet";

/// The bytes of the TorchScript file of a network with these weights, in evaluation mode, for the CPU.
///
/// # Errors
/// When `tensors` are not the `state_dict` of `architecture`.
pub fn to_bytes(architecture: &Architecture, tensors: &[Tensor]) -> Result<Vec<u8>, Error> {
    architecture.check()?;
    architecture.check_state(tensors)?;
    let modules = modules(architecture);
    let mut storages = Vec::new();
    let root = root_object(&modules, tensors, &mut storages);

    let mut archive = Archive::new("model");
    archive.add("data.pkl", &encode(&root))?;
    archive.add("code/__torch__.py", root_code(&modules).as_bytes())?;
    for module in &modules {
        archive.add(&module.code_path(), module.code().as_bytes())?;
    }
    for (key, tensor) in storages.iter().enumerate() {
        archive.add(&format!("data/{key}"), tensor.bytes())?;
    }
    archive.add("constants.pkl", &encode(&Value::Tuple(vec![])))?;
    archive.add("version", b"3\n")?;
    archive.add("byteorder", b"little")?;
    archive.finish()
}

/// Writes the TorchScript file atomically.
///
/// # Errors
/// As [`to_bytes`], and when the file cannot be written.
pub fn write(path: &Path, architecture: &Architecture, tensors: &[Tensor]) -> Result<(), Error> {
    write_file(path, &to_bytes(architecture, tensors)?)
}

/// A submodule: the attribute that holds it, and what it does. Each has its own class in its own file, because its
/// sizes are constants of the class.
struct Module {
    name: String,
    kind: ModuleKind,
}

enum ModuleKind {
    Linear(Layer),
    Relu,
    Dropout(f64),
}

/// The submodules in the order of the forward pass: `fc1 relu1 (dropout1) … fcN`.
fn modules(architecture: &Architecture) -> Vec<Module> {
    let layers = architecture.layers();
    let last = layers.len();
    let mut modules = Vec::new();
    for (number, layer) in (1..).zip(layers) {
        modules.push(Module { name: layer.name.clone(), kind: ModuleKind::Linear(layer) });
        if number < last {
            modules.push(Module { name: format!("relu{number}"), kind: ModuleKind::Relu });
            if architecture.dropout > 0.0 {
                let kind = ModuleKind::Dropout(architecture.dropout);
                modules.push(Module { name: format!("dropout{number}"), kind });
            }
        }
    }
    modules
}

impl Module {
    fn class(&self) -> &'static str {
        match self.kind {
            ModuleKind::Linear(_) => "Linear",
            ModuleKind::Relu => "ReLU",
            ModuleKind::Dropout(_) => "Dropout",
        }
    }

    /// The Python module that defines the class, such as `__torch__.fc1`.
    fn package(&self) -> String {
        format!("__torch__.{}", self.name)
    }

    fn type_name(&self) -> String {
        format!("{}.{}", self.package(), self.class())
    }

    fn code_path(&self) -> String {
        format!("code/{}.py", self.package().replace('.', "/"))
    }

    /// The class in TorchScript, a subset of Python.
    fn code(&self) -> String {
        let (parameters, attributes, constants, body) = match &self.kind {
            ModuleKind::Linear(layer) => (
                "[\"weight\", \"bias\", ]",
                "  weight : Tensor\n  bias : Tensor\n",
                format!(
                    "  in_features : Final[int] = {}\n  out_features : Final[int] = {}\n",
                    layer.inputs, layer.outputs
                ),
                "torch.linear(input, self.weight, self.bias)".to_owned(),
            ),
            ModuleKind::Relu => ("[]", "", String::new(), "torch.relu(input)".to_owned()),
            // `{:?}` keeps the decimal point or exponent of a float: 0.5, 1e-5.
            ModuleKind::Dropout(p) => (
                "[]",
                "",
                format!("  p : Final[float] = {p:?}\n"),
                format!("torch.dropout(input, {p:?}, self.training)"),
            ),
        };
        format!(
            "class {}(Module):\n  __parameters__ = {parameters}\n  __buffers__ = []\n{attributes}  training : bool\n  \
             _is_full_backward_hook : NoneType\n{constants}  def forward(self: {},\n    input: Tensor) -> Tensor:\n    \
             return {body}\n",
            self.class(),
            self.type_name(),
        )
    }
}

/// The class of the network, which calls its submodules in order.
fn root_code(modules: &[Module]) -> String {
    let mut code = format!(
        "class {CLASS}(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n  \
         _is_full_backward_hook : NoneType\n"
    );
    for module in modules {
        code.push_str(&format!("  {} : {}\n", module.name, module.type_name()));
    }
    code.push_str(&format!("  def forward(self: __torch__.{CLASS},\n    x: Tensor) -> Tensor:\n"));
    let mut value = "x".to_owned();
    for module in modules {
        let name = &module.name;
        code.push_str(&format!("    {name} = self.{name}\n    y_{name} = ({name}).forward({value}, )\n"));
        value = format!("y_{name}");
    }
    code.push_str(&format!("    return {value}\n"));
    code
}

/// The object tree, in the order in which the classes declare their attributes (torch sets slots by name, and writes
/// them in this order). The tensors in it are collected in `storages`.
fn root_object<'a>(modules: &[Module], tensors: &'a [Tensor], storages: &mut Vec<&'a Tensor>) -> Value {
    let mut attributes = common_attributes();
    for module in modules {
        let mut own = Vec::new();
        if let ModuleKind::Linear(layer) = &module.kind {
            for part in ["weight", "bias"] {
                let name = format!("{}.{part}", layer.name);
                if let Some(tensor) = tensors.iter().find(|tensor| tensor.name() == name) {
                    own.push((part.to_owned(), tensor_value(tensor, storages.len())));
                    storages.push(tensor);
                }
            }
        }
        own.extend(common_attributes());
        attributes.push((module.name.clone(), object(&module.package(), module.class(), own)));
    }
    object("__torch__", CLASS, attributes)
}

/// The attributes that every module has. The model is saved in evaluation mode, as it is used after training.
fn common_attributes() -> Vec<(String, Value)> {
    vec![("training".to_owned(), Value::Bool(false)), ("_is_full_backward_hook".to_owned(), Value::None)]
}

fn object(package: &str, class: &str, attributes: Vec<(String, Value)>) -> Value {
    Value::Object(Box::new(Value::global(package, class)), attributes)
}

/// A tensor as torch pickles it: a call that rebuilds it from the storage `key` in the archive.
fn tensor_value(tensor: &Tensor, key: usize) -> Value {
    let storage = Value::Persistent(Box::new(Value::Tuple(vec![
        Value::text("storage"),
        Value::global("torch", tensor.dtype().storage_class()),
        Value::text(key.to_string()),
        Value::text("cpu"),
        Value::size(tensor.elements()),
    ])));
    let no_hooks = Value::Call(Box::new(Value::global("collections", "OrderedDict")), vec![]);
    Value::Call(
        Box::new(Value::global("torch._utils", "_rebuild_tensor_v2")),
        vec![
            storage,
            Value::Int(0), // where in the storage it begins
            Value::sizes(tensor.shape()),
            Value::sizes(&row_major_strides(tensor.shape())),
            Value::Bool(true), // requires_grad: it is a parameter, and can be trained further
            no_hooks,
        ],
    )
}

/// The strides of a row-major tensor.
fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for index in (1..shape.len()).rev() {
        strides[index - 1] = strides[index] * shape[index];
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_file::architecture::tests::sample;
    use std::io::Read;

    fn state(architecture: &Architecture) -> Vec<Tensor> {
        let numbered = |(name, shape): (String, Vec<usize>)| {
            let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|value| value as f32).collect();
            Tensor::from_f32(name, shape, &values).unwrap()
        };
        architecture.parameters().into_iter().map(numbered).collect()
    }

    fn member(bytes: &[u8], name: &str) -> Vec<u8> {
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let mut member = Vec::new();
        zip.by_name(&format!("model/{name}")).unwrap().read_to_end(&mut member).unwrap();
        member
    }

    #[test]
    fn the_code_reads_like_the_network() {
        let architecture = sample(3, &[4], 0.25);
        let bytes = to_bytes(&architecture, &state(&architecture)).unwrap();
        let root = String::from_utf8(member(&bytes, "code/__torch__.py")).unwrap();
        assert!(root.contains("  fc1 : __torch__.fc1.Linear\n  relu1 : __torch__.relu1.ReLU\n"), "{root}");
        assert!(root.ends_with("    y_fc2 = (fc2).forward(y_dropout1, )\n    return y_fc2\n"), "{root}");
        let dropout = String::from_utf8(member(&bytes, "code/__torch__/dropout1.py")).unwrap();
        assert!(dropout.contains("torch.dropout(input, 0.25, self.training)"), "{dropout}");
    }

    #[test]
    fn storages_hold_the_bytes_in_the_order_of_the_state_dict() {
        let architecture = sample(3, &[4], 0.0);
        let tensors = state(&architecture);
        let bytes = to_bytes(&architecture, &tensors).unwrap();
        for (key, tensor) in tensors.iter().enumerate() {
            assert_eq!(member(&bytes, &format!("data/{key}")), tensor.bytes(), "{}", tensor.name());
        }
    }

    #[test]
    fn the_same_model_is_the_same_file() {
        let architecture = sample(3, &[4, 5], 0.5);
        let tensors = state(&architecture);
        assert_eq!(to_bytes(&architecture, &tensors).unwrap(), to_bytes(&architecture, &tensors).unwrap());
    }

    #[test]
    fn the_file_is_read_again_and_is_as_safe_as_torchscript_can_be() {
        use crate::model_file::{ModelFile, Safety};
        let architecture = sample(3, &[4], 0.25);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pt");
        write(&path, &architecture, &state(&architecture)).unwrap();
        let file = ModelFile::open(&path).unwrap();
        assert_eq!((file.safety, file.doubts.len()), (Safety::Unknown, 0), "{:?}", file.doubts);
    }

    #[test]
    fn a_foreign_state_dict_makes_no_file() {
        let error = to_bytes(&sample(3, &[4], 0.0), &state(&sample(2, &[4], 0.0))).unwrap_err();
        assert_eq!(error.to_string(), "tensor 'fc1.weight': has shape [4, 2], but a 3-4-2 network needs [4, 3]");
    }

    #[test]
    fn strides_are_row_major() {
        assert_eq!(row_major_strides(&[2, 3, 4]), [12, 4, 1]);
        assert_eq!(row_major_strides(&[]), Vec::<usize>::new());
    }
}
