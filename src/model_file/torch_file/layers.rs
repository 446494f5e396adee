//! Arguments of layers, as `print(model)` shows them: `Linear(in_features=10, out_features=20, bias=True)`.
//!
//! Each class of torch chooses what it prints (`extra_repr`). This does the same from the pickled attributes.

use super::rebuild::{self, Storages};
use crate::diagnostic::article::with_article;
use crate::model_file::unpickle::{Id, Node, Pickle};
use crate::model_file::words;
use crate::number::python_float;

/// The attributes of one pickled module.
pub struct Attributes<'a> {
    /// The pickle with the module.
    pub pickle: &'a Pickle,
    /// The storages of the file.
    pub storages: &'a Storages,
    /// Names and values of its attributes.
    pub entries: &'a [(Id, Id)],
    /// Names and values of its parameters.
    pub parameters: &'a [(Id, Id)],
}

impl Attributes<'_> {
    fn node(&self, name: &str) -> Option<&Node> {
        self.pickle.get(self.entries, name).map(|id| self.pickle.node(id))
    }

    fn text(&self, name: &str) -> Option<String> {
        self.pickle.get(self.entries, name).map(|id| python(self.pickle, id, 3))
    }

    fn has_parameter(&self, name: &str) -> bool {
        self.pickle.get(self.parameters, name).is_some_and(|id| *self.pickle.node(id) != Node::None)
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let parameter = self.pickle.get(self.parameters, name)?;
        rebuild::tensor(self.pickle, parameter, self.storages).ok()?.map(|tensor| tensor.shape)
    }

    fn is_true(&self, name: &str) -> bool {
        self.node(name) == Some(&Node::Bool(true))
    }

    /// `name=value` for each attribute that exists.
    fn named(&self, names: &[&str]) -> Vec<String> {
        names.iter().filter_map(|name| self.text(name).map(|value| format!("{name}={value}"))).collect()
    }

    /// Only the value, for each attribute that exists.
    fn bare(&self, names: &[&str]) -> Vec<String> {
        names.iter().filter_map(|name| self.text(name)).collect()
    }

    /// `name=value` if the attribute exists and all its numbers differ from the default.
    fn unless(&self, name: &str, usual: &str) -> Option<String> {
        let value = self.text(name)?;
        let all_usual =
            value.split(|c: char| "(), ".contains(c)).filter(|part| !part.is_empty()).all(|part| part == usual);
        (!all_usual).then(|| format!("{name}={value}"))
    }
}

/// The text in parentheses for a layer of that class. Empty for classes that are not torch's.
pub fn arguments(class: &str, of: &Attributes<'_>) -> String {
    let mut parts = Vec::new();
    match class {
        "Linear" | "NonDynamicallyQuantizableLinear" | "LazyLinear" => {
            parts = of.named(&["in_features", "out_features"]);
            // TorchScript stores the sizes in its code; the shape of the weight has them too.
            if let (true, Some([outputs, inputs])) = (parts.is_empty(), of.shape("weight").as_deref()) {
                parts = vec![format!("in_features={inputs}"), format!("out_features={outputs}")];
            }
            parts.push(format!("bias={}", python_bool(of.has_parameter("bias"))));
        }
        "Bilinear" => {
            parts = of.named(&["in1_features", "in2_features", "out_features"]);
            parts.push(format!("bias={}", python_bool(of.has_parameter("bias"))));
        }
        "Conv1d" | "Conv2d" | "Conv3d" | "ConvTranspose1d" | "ConvTranspose2d" | "ConvTranspose3d" => {
            parts = of.bare(&["in_channels", "out_channels"]);
            parts.extend(of.named(&["kernel_size", "stride"]));
            parts.extend(of.unless("padding", "0"));
            parts.extend(of.unless("dilation", "1"));
            parts.extend(of.unless("output_padding", "0"));
            parts.extend(of.unless("groups", "1"));
            if !of.has_parameter("bias") {
                parts.push("bias=False".to_owned());
            }
            parts.extend(of.unless("padding_mode", "'zeros'"));
        }
        "BatchNorm1d" | "BatchNorm2d" | "BatchNorm3d" | "SyncBatchNorm" | "InstanceNorm1d" | "InstanceNorm2d"
        | "InstanceNorm3d" => {
            parts = of.bare(&["num_features"]);
            parts.extend(of.named(&["eps", "momentum", "affine", "track_running_stats"]));
        }
        "LayerNorm" | "RMSNorm" => {
            parts = of.bare(&["normalized_shape"]);
            parts.extend(of.named(&["eps", "elementwise_affine"]));
            if class == "LayerNorm" && of.is_true("elementwise_affine") {
                parts.push(format!("bias={}", python_bool(of.has_parameter("bias"))));
            }
        }
        "GroupNorm" => {
            parts = of.bare(&["num_groups", "num_channels"]);
            parts.extend(of.named(&["eps", "affine"]));
        }
        "Embedding" | "EmbeddingBag" => {
            parts = of.bare(&["num_embeddings", "embedding_dim"]);
            for (name, usual) in [("padding_idx", "None"), ("max_norm", "None"), ("norm_type", "2.0")] {
                parts.extend(of.unless(name, usual));
            }
        }
        "RNN" | "LSTM" | "GRU" => {
            parts = of.bare(&["input_size", "hidden_size"]);
            let usual = [("proj_size", "0"), ("num_layers", "1"), ("bias", "True"), ("batch_first", "False")];
            for (name, usual) in usual.into_iter().chain([("dropout", "0.0"), ("bidirectional", "False")]) {
                if !(name == "dropout" && of.text(name).as_deref() == Some("0")) {
                    parts.extend(of.unless(name, usual));
                }
            }
        }
        "Dropout" | "Dropout1d" | "Dropout2d" | "Dropout3d" | "AlphaDropout" => parts = of.named(&["p", "inplace"]),
        "ReLU" | "ReLU6" | "SiLU" | "Mish" | "SELU" | "Hardswish" | "Hardsigmoid" => {
            parts.extend(of.unless("inplace", "False"));
        }
        "LeakyReLU" => {
            parts = of.named(&["negative_slope"]);
            parts.extend(of.unless("inplace", "False"));
        }
        "ELU" | "CELU" => {
            parts = of.named(&["alpha"]);
            parts.extend(of.unless("inplace", "False"));
        }
        "PReLU" => parts = of.named(&["num_parameters"]),
        "GELU" => parts = of.named(&["approximate"]),
        "Softmax" | "LogSoftmax" | "Softmin" => parts = of.named(&["dim"]),
        "Flatten" => parts = of.named(&["start_dim", "end_dim"]),
        "MaxPool1d" | "MaxPool2d" | "MaxPool3d" => {
            parts = of.named(&["kernel_size", "stride", "padding", "dilation", "ceil_mode"]);
        }
        "AvgPool1d" | "AvgPool2d" | "AvgPool3d" => parts = of.named(&["kernel_size", "stride", "padding"]),
        "AdaptiveAvgPool1d" | "AdaptiveAvgPool2d" | "AdaptiveAvgPool3d" | "AdaptiveMaxPool2d" => {
            parts = of.named(&["output_size"]);
        }
        "Upsample" => parts = of.named(&["scale_factor", "size", "mode"]),
        _ => {}
    }
    parts.join(", ")
}

/// A simple value as Python prints it; for any other value, its kind.
pub fn python(pickle: &Pickle, id: Id, deep: u8) -> String {
    match pickle.node(id) {
        Node::None => "None".to_owned(),
        Node::Bool(value) => python_bool(*value).to_owned(),
        Node::Int(number) => number.to_string(),
        Node::Long => "a long integer".to_owned(),
        Node::Float(number) => python_float(*number),
        Node::Text(text) => format!("'{}'", words::printable(text, 60)),
        Node::Bytes(length) => format!("{length} bytes"),
        Node::Tuple(items) if deep > 0 && items.len() <= 8 => {
            let parts: Vec<_> = items.iter().map(|&item| python(pickle, item, deep - 1)).collect();
            if parts.len() == 1 { format!("({},)", parts[0]) } else { format!("({})", parts.join(", ")) }
        }
        Node::List(items) if deep > 0 && items.len() <= 8 => {
            let parts: Vec<_> = items.iter().map(|&item| python(pickle, item, deep - 1)).collect();
            format!("[{}]", parts.join(", "))
        }
        Node::Tuple(items) => format!("a tuple of {}", items.len()),
        Node::List(items) => format!("a list of {}", items.len()),
        Node::Dict(entries) => format!("a dict of {}", entries.len()),
        Node::Set(items) => format!("a set of {}", items.len()),
        Node::Global(global) => words::printable(&format!("{}.{}", global.0, global.1), 80),
        Node::Persistent(_) => "a storage".to_owned(),
        Node::Call(call) => match pickle.global(call.callable) {
            Some(("collections", "OrderedDict")) => format!("a dict of {}", call.entries.len()),
            Some((_, name)) => with_article(&words::printable(name, 60)),
            None => "an object".to_owned(),
        },
    }
}

fn python_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}
