//! Finds the layers of an imported model, as far as its file contains them: in the module tree of a whole-model pickle,
//! or in the shapes of a `state_dict`. Only a stack of fully connected layers can be imported.
//!
//! The file does not contain the code of user-defined classes. For such a class, the order of its attributes is assumed
//! to be the order of its layers, and a message says so. The order in a `Sequential` is certain.

use amlrun::diagnostic::article::with_article;
use amlrun::model_file::contents::Module;

/// The network according to a module tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// The fraction of hidden units that are dropped in training.
    pub dropout: f64,
    /// The assumption that was made, if any.
    pub assumed: Option<String>,
}

/// A fully connected layer in a `state_dict`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// The name without `.weight` and `.bias`.
    pub name: String,
    /// The number of inputs.
    pub inputs: usize,
    /// The number of outputs.
    pub outputs: usize,
}

/// The network in a module tree: `Linear, ReLU, (Dropout,) … Linear`.
///
/// # Errors
/// A message about the part that is something else, or is not in the file.
pub fn from_modules(root: &Module) -> Result<Stack, String> {
    // The model is what DataParallel and similar classes wrap.
    let mut root = root;
    while let ([only], "DataParallel" | "DistributedDataParallel") = (root.children.as_slice(), root.class.as_str()) {
        root = only;
    }
    let mut leaves = Vec::new();
    if root.children.is_empty() {
        leaves.push(root);
    }
    root.children.iter().try_for_each(|child| flatten(child, &mut leaves))?;
    let mut dropouts = Vec::new();
    let mut order = String::new();
    for leaf in leaves {
        match leaf.class.as_str() {
            "Linear" if leaf.arguments.ends_with("bias=True") => order.push('L'),
            "Linear" => {
                return Err(format!("'{}' is a Linear without a bias, which SimpleNet's layers have", leaf.name));
            }
            "ReLU" => order.push('R'),
            "Dropout" => {
                order.push('D');
                dropouts.push(share(&leaf.arguments).ok_or_else(|| format!("'{}' has no p", leaf.name))?);
            }
            "Identity" => {}
            "Flatten" if leaf.arguments.starts_with("start_dim=1") => {}
            other => {
                return Err(format!(
                    "'{}' is {}; only Linear, ReLU and Dropout are supported",
                    leaf.name,
                    with_article(other)
                ));
            }
        }
    }
    if dropouts.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err("its Dropout layers have different values of p".to_owned());
    }
    let dropout = dropouts.first().copied().unwrap_or(0.0);
    let linears = order.matches('L').count();
    if linears == 0 {
        return Err("it has no Linear layer".to_owned());
    }
    if root.class == "Sequential" || root.children.is_empty() {
        let between = if dropouts.is_empty() { "LR" } else { "LRD" };
        if order != format!("{}L", between.repeat(linears - 1)) {
            return Err(
                "its layers do not follow each other as Linear, ReLU, (Dropout,) … Linear, with the same Dropout or none"
                    .to_owned(),
            );
        }
        return Ok(Stack { dropout, assumed: None });
    }
    let assumed = format!(
        "the file does not contain {}.forward: its {linears} Linear layers are used in the order of its \
        attributes, with ReLU between them",
        root.class
    );
    Ok(Stack { dropout, assumed: Some(assumed) })
}

/// The layers of a `Sequential` count as its parent's. A user-defined class could use its parts in any way.
fn flatten<'a>(module: &'a Module, leaves: &mut Vec<&'a Module>) -> Result<(), String> {
    match module.class.as_str() {
        "Sequential" => module.children.iter().try_for_each(|child| flatten(child, leaves)),
        class if !module.children.is_empty() => Err(format!(
            "'{}' is {} with submodules; only a flat stack of layers is supported",
            module.name,
            with_article(class)
        )),
        _ => {
            leaves.push(module);
            Ok(())
        }
    }
}

/// The `0.2` in `p=0.2, inplace=False`.
fn share(arguments: &str) -> Option<f64> {
    let share: f64 = arguments.strip_prefix("p=")?.split(',').next()?.parse().ok()?;
    (0.0..1.0).contains(&share).then_some(share)
}

/// The fully connected layers of a `state_dict`, if it contains nothing else and each layer's inputs match the outputs
/// of the previous one. They are in the order of the file, unless that order is `alphabetical` (as in safetensors
/// files), which puts 10 before 2.
///
/// # Errors
/// A message with the tensor that belongs to something else.
pub fn from_shapes(tensors: &[(&str, &[usize])], alphabetical: bool) -> Result<Vec<Linear>, String> {
    let shape = |name: &str| tensors.iter().find(|(known, _)| *known == name).map(|(_, shape)| *shape);
    let mut layers = Vec::new();
    for (name, dimensions) in tensors {
        match (name.strip_suffix(".weight"), name.strip_suffix(".bias"), *dimensions) {
            (Some(layer), _, &[outputs, inputs]) if shape(&format!("{layer}.bias")) == Some(&[outputs]) => {
                layers.push(Linear { name: layer.to_owned(), inputs, outputs });
            }
            (_, Some(layer), &[outputs])
                if shape(&format!("{layer}.weight"))
                    .is_some_and(|weight| weight.len() == 2 && weight[0] == outputs) => {}
            _ => {
                return Err(format!(
                    "tensor '{name}' of shape {dimensions:?} is not part of a Linear layer with a bias"
                ));
            }
        }
    }
    if alphabetical {
        layers.sort_by_key(|layer| natural(&layer.name));
    }
    if layers.is_empty() {
        return Err("it contains no tensor".to_owned());
    }
    match layers.windows(2).find(|pair| pair[0].outputs != pair[1].inputs) {
        Some([one, next]) => {
            Err(format!("'{}' returns {} values, but '{}' takes {}", one.name, one.outputs, next.name, next.inputs))
        }
        _ => Ok(layers),
    }
}

/// A sort key in which numbers inside names are compared as numbers.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let word = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, tail) = rest.split_at(word);
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (number, tail) = tail.split_at(digits);
        parts.push((text.to_owned(), number.parse().unwrap_or(0)));
        rest = tail;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, class: &str, arguments: &str, children: Vec<Module>) -> Module {
        Module { name: name.to_owned(), class: class.to_owned(), arguments: arguments.to_owned(), children }
    }

    fn linear(name: &str) -> Module {
        module(name, "Linear", "in_features=1, out_features=1, bias=True", vec![])
    }

    #[test]
    fn a_sequential_is_certain_and_must_be_exact() {
        let relu = || module("1", "ReLU", "", vec![]);
        let dropout = |p: &str| module("2", "Dropout", &format!("p={p}, inplace=False"), vec![]);
        let stack = |layers| from_modules(&module("", "Sequential", "", layers));
        assert_eq!(stack(vec![linear("0"), relu(), linear("2")]), Ok(Stack { dropout: 0.0, assumed: None }));
        let found = stack(vec![linear("0"), relu(), dropout("0.25"), linear("3")]);
        assert_eq!(found, Ok(Stack { dropout: 0.25, assumed: None }));
        assert!(stack(vec![linear("0"), linear("1")]).unwrap_err().contains("do not follow"));
        let tanh = module("1", "Tanh", "", vec![]);
        assert!(stack(vec![linear("0"), tanh, linear("2")]).unwrap_err().starts_with("'1' is a Tanh"));
    }

    #[test]
    fn a_class_of_ones_own_is_an_assumption() {
        let found = from_modules(&module("", "Net", "", vec![linear("fc1"), linear("fc2")])).unwrap();
        assert!(found.assumed.unwrap().starts_with("the file does not contain Net.forward"));
        let block = module("block", "Block", "", vec![linear("a")]);
        assert!(from_modules(&module("", "Net", "", vec![block])).unwrap_err().contains("with submodules"));
    }

    #[test]
    fn shapes_follow_each_other_in_the_order_of_numbers() {
        let tensors: [(&str, &[usize]); 4] =
            [("l.10.bias", &[2]), ("l.10.weight", &[2, 4]), ("l.2.bias", &[4]), ("l.2.weight", &[4, 3])];
        let names: Vec<_> = from_shapes(&tensors, true).unwrap().into_iter().map(|layer| layer.name).collect();
        assert_eq!(names, ["l.2", "l.10"]);
        let odd: [(&str, &[usize]); 1] = [("conv.weight", &[8, 3, 3, 3])];
        assert!(from_shapes(&odd, false).unwrap_err().starts_with("tensor 'conv.weight' of shape [8, 3, 3, 3]"));
    }
}
