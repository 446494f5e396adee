//! Compares two models: names that only one has, different shapes and types, and how much the values differ.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model_file::contents::{Contents, Kind, LazyTensor};
use crate::model_file::scalar_type::ScalarType;
use crate::model_file::{Error, numbers, words};

/// The differences of two models. `missing` and `unexpected` are used as in `load_state_dict`: the first model is the
/// expected one, the second the given one.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Names that only the first model has.
    pub missing: Vec<String>,
    /// Names that only the second model has.
    pub unexpected: Vec<String>,
    /// A prefix that only one model's names have. Names are compared without it.
    pub renamed: Option<Renamed>,
    /// Tensors with different shapes.
    pub reshaped: Vec<Reshaped>,
    /// Tensors with different types.
    pub retyped: Vec<Retyped>,
    /// Tensors with different values.
    pub changed: Vec<Changed>,
    /// How many tensors are bitwise equal.
    pub equal: usize,
}

/// A prefix such as `module.`, which `DataParallel` leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// The prefix, with its dot.
    pub prefix: String,
    /// Whether the first or the second model has it.
    pub of: &'static str,
    /// How many names have it.
    pub tensors: usize,
}

/// A tensor with different shapes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reshaped {
    /// Its name in the first model.
    pub name: String,
    /// Its shape in the first model.
    pub first: Vec<usize>,
    /// Its shape in the second model.
    pub second: Vec<usize>,
}

/// A tensor with different types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retyped {
    /// Its name in the first model.
    pub name: String,
    /// Its type in the first model.
    pub first: &'static str,
    /// Its type in the second model.
    pub second: &'static str,
}

/// A tensor with different values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changed {
    /// Its name in the first model.
    pub name: String,
    /// The largest `|a - b|`. `None` if the values cannot be compared, or one of two values is NaN.
    pub absolute: Option<f64>,
    /// The largest `|a - b| / max(|a|, |b|)`.
    pub relative: Option<f64>,
}

impl Difference {
    /// Whether the models have the same names, shapes, types and values.
    pub fn is_none(&self) -> bool {
        *self == Self { equal: self.equal, ..Self::default() }
    }

    /// The differences as text, one on each line.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |text: String| out.push_str(&format!("{text}\n"));
        if let Some(renamed) = &self.renamed {
            line(format!(
                "renamed     the {} has '{}' before {} names",
                renamed.of,
                words::printable(&renamed.prefix, 120),
                renamed.tensors
            ));
        }
        self.missing.iter().for_each(|name| line(format!("missing     {}", words::printable(name, 200))));
        self.unexpected.iter().for_each(|name| line(format!("unexpected  {}", words::printable(name, 200))));
        for one in &self.reshaped {
            line(format!("reshaped    {}  {:?} -> {:?}", words::printable(&one.name, 200), one.first, one.second));
        }
        for one in &self.retyped {
            line(format!("retyped     {}  {} -> {}", words::printable(&one.name, 200), one.first, one.second));
        }
        for one in &self.changed {
            let number = |number: Option<f64>| number.map_or("not comparable".to_owned(), |n| format!("{n:.3e}"));
            line(format!(
                "changed     {}  largest difference {} absolute, {} relative",
                words::printable(&one.name, 200),
                number(one.absolute),
                number(one.relative)
            ));
        }
        line(format!("{} equal", self.equal));
        out
    }
}

/// Compares two models. Without `values`, compares only names, shapes and types, and reads no tensor.
///
/// # Errors
/// When the values of a tensor cannot be read.
pub fn compare(first: &Contents, second: &Contents, values: bool) -> Result<Difference, Error> {
    let names = |contents: &Contents| -> Vec<String> { contents.tensors.iter().map(|t| t.name.clone()).collect() };
    let renamed = common_prefix(&names(first), &names(second));
    let strip = |side: &str, name: &str| match &renamed {
        Some(renamed) if renamed.of == side => name.strip_prefix(&renamed.prefix).unwrap_or(name).to_owned(),
        _ => name.to_owned(),
    };
    let given: BTreeMap<String, &LazyTensor> =
        second.tensors.iter().map(|tensor| (strip("second", &tensor.name), tensor)).collect();
    let mut found = Difference::default();
    let mut wanted = std::collections::BTreeSet::new();
    for one in &first.tensors {
        let name = strip("first", &one.name);
        let Some(other) = given.get(&name) else {
            found.missing.push(one.name.clone());
            continue;
        };
        wanted.insert(name);
        compare_tensors((first, one), (second, other), values, &mut found)?;
    }
    let unexpected = second.tensors.iter().filter(|tensor| !wanted.contains(&strip("second", &tensor.name)));
    found.unexpected = unexpected.map(|tensor| tensor.name.clone()).collect();
    found.renamed = renamed;
    Ok(found)
}

/// Compares a file with the names and shapes that a network expects, such as those from [`Architecture::parameters`].
///
/// [`Architecture::parameters`]: crate::model_file::Architecture::parameters
///
/// # Errors
/// Never: nothing is read.
pub fn fits(wanted: &[(String, Vec<usize>)], given: &Contents) -> Result<Difference, Error> {
    let mut network = Contents::new(Kind::StateDict);
    let types: BTreeMap<&str, ScalarType> = given.tensors.iter().map(|t| (t.name.as_str(), t.scalar_type)).collect();
    for (name, shape) in wanted {
        // The network computes with any type, so types are not compared.
        let kind = types.get(name.as_str()).copied().unwrap_or(ScalarType::Float32);
        network
            .tensors
            .push(LazyTensor { storage: None, ..LazyTensor::contiguous(name.clone(), kind, shape.clone(), 0) });
    }
    let mut found = compare(&network, given, false)?;
    found.retyped.clear();
    Ok(found)
}

fn compare_tensors(
    (first, one): (&Contents, &LazyTensor),
    (second, other): (&Contents, &LazyTensor),
    values: bool,
    found: &mut Difference,
) -> Result<(), Error> {
    let name = one.name.clone();
    let same_type = one.scalar_type == other.scalar_type;
    if !same_type {
        let (first, second) = (one.scalar_type.torch_name(), other.scalar_type.torch_name());
        found.retyped.push(Retyped { name: name.clone(), first, second });
    }
    if one.shape != other.shape {
        found.reshaped.push(Reshaped { name, first: one.shape.clone(), second: other.shape.clone() });
        return Ok(());
    }
    // Sparse and quantised tensors are compared only by their description.
    if !values || one.special.is_some() || other.special.is_some() {
        if same_type && one.special == other.special {
            found.equal += 1;
        } else if same_type {
            found.changed.push(Changed { name, absolute: None, relative: None });
        }
        return Ok(());
    }
    let (left, right) = (first.read(one)?, second.read(other)?);
    if same_type && left == right {
        found.equal += 1;
        return Ok(());
    }
    let numbers = numbers::decode(&left, one.scalar_type).zip(numbers::decode(&right, other.scalar_type));
    let (absolute, relative) = numbers.map_or((None, None), |(left, right)| largest(&left, &right));
    // A conversion to another type is reported as a type difference; values count as changed only if they differ.
    if same_type || absolute != Some(0.0) {
        found.changed.push(Changed { name, absolute, relative });
    }
    Ok(())
}

/// The largest absolute and relative difference. `None` if only one of two values is NaN.
fn largest(left: &[f64], right: &[f64]) -> (Option<f64>, Option<f64>) {
    let (mut absolute, mut relative) = (0f64, 0f64);
    for (&a, &b) in left.iter().zip(right) {
        if a == b || a.is_nan() && b.is_nan() {
            continue;
        }
        let difference = (a - b).abs();
        if !difference.is_finite() {
            return (None, None);
        }
        absolute = absolute.max(difference);
        relative = relative.max(difference / a.abs().max(b.abs()));
    }
    (Some(absolute), Some(relative))
}

/// The prefix whose removal makes most names of one side match the other. `None` if it adds no matches.
fn common_prefix(first: &[String], second: &[String]) -> Option<Renamed> {
    let candidates = |long: &[String], short: &[String], of: &'static str| {
        let short: std::collections::HashSet<&str> = short.iter().map(String::as_str).collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for name in long.iter().filter(|name| !short.contains(name.as_str())) {
            for (point, _) in name.match_indices('.').take(8) {
                if short.contains(&name[point + 1..]) {
                    *counts.entry(&name[..=point]).or_default() += 1;
                }
            }
        }
        let best = counts.into_iter().max_by_key(|(prefix, count)| (*count, std::cmp::Reverse(prefix.len())));
        best.map(|(prefix, tensors)| Renamed { prefix: prefix.to_owned(), of, tensors })
    };
    let both = [candidates(first, second, "first"), candidates(second, first, "second")];
    both.into_iter().flatten().max_by_key(|renamed| renamed.tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_file::{ModelFile, Tensor, save};

    fn contents(folder: &tempfile::TempDir, file: &str, tensors: &[(&str, &[f32])]) -> ModelFile {
        let path = folder.path().join(file);
        let tensors: Vec<_> =
            tensors.iter().map(|(name, values)| Tensor::from_f32(*name, vec![values.len()], values).unwrap()).collect();
        save::pth::write_tensors(&path, &tensors).unwrap();
        ModelFile::open(&path).unwrap()
    }

    #[test]
    fn a_model_is_the_same_as_itself() {
        let folder = tempfile::tempdir().unwrap();
        let one = contents(&folder, "a.pth", &[("w", &[1.0, f32::NAN])]);
        let found = compare(&one.contents, &one.contents, true).unwrap();
        assert!(found.is_none(), "{found:?}");
        assert_eq!(found.text(), "1 equal\n");
    }

    #[test]
    fn a_prefix_is_one_line_and_not_two_for_each_tensor() {
        let folder = tempfile::tempdir().unwrap();
        let one = contents(&folder, "a.pth", &[("fc.w", &[1.0]), ("fc.b", &[2.0])]);
        let two = contents(&folder, "b.pth", &[("module.fc.w", &[1.0]), ("module.fc.b", &[2.5])]);
        let found = compare(&one.contents, &two.contents, true).unwrap();
        assert_eq!(
            found.text(),
            "renamed     the second has 'module.' before 2 names\n\
             changed     fc.b  largest difference 5.000e-1 absolute, 2.000e-1 relative\n1 equal\n"
        );
        assert!(!found.is_none());
    }

    #[test]
    fn a_file_that_does_not_fit_a_network_is_told_by_tensor() {
        let folder = tempfile::tempdir().unwrap();
        let file = contents(&folder, "a.pth", &[("module.fc1.weight", &[1.0]), ("module.fc1.bias", &[1.0])]);
        let wanted =
            [("fc1.weight".to_owned(), vec![1]), ("fc1.bias".to_owned(), vec![2]), ("fc2.bias".to_owned(), vec![1])];
        assert_eq!(
            fits(&wanted, &file.contents).unwrap().text(),
            "renamed     the second has 'module.' before 2 names\nmissing     fc2.bias\n\
             reshaped    fc1.bias  [2] -> [1]\n1 equal\n"
        );
    }

    #[test]
    fn missing_unexpected_and_reshaped_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let one = contents(&folder, "a.pth", &[("a", &[1.0]), ("b", &[1.0])]);
        let two = contents(&folder, "b.pth", &[("b", &[1.0, 2.0]), ("c", &[1.0])]);
        let found = compare(&one.contents, &two.contents, true).unwrap();
        assert_eq!(found.text(), "missing     a\nunexpected  c\nreshaped    b  [1] -> [2]\n0 equal\n");
    }
}
