//! The items of a loop: written in the file, or JSON that a step writes while the run goes on.

use serde::{Deserialize, Serialize};

use super::Value;

/// The items of a loop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Items {
    /// Each with its name and the inputs that it gives.
    Known(Vec<Item>),
    /// JSON that is known when the loop begins.
    Later(Value),
}

/// An item of a loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its name, or its number from 0.
    pub name: String,
    /// The inputs that it gives.
    pub inputs: Vec<(String, Value)>,
}

/// The items in JSON: a list of objects, or an object of objects.
///
/// # Errors
/// A sentence without its end that says what is wrong.
pub fn from_json(json: &serde_json::Value) -> Result<Vec<Item>, String> {
    use serde_json::Value as Json;
    let item = |name: String, json: &Json| {
        let fields = json.as_object().ok_or_else(|| format!("the item {name} is no object"))?;
        let text = |value: &Json| match value {
            Json::String(text) => text.clone(),
            Json::Bool(true) => "True".to_owned(),
            Json::Bool(false) => "False".to_owned(),
            other => other.to_string(),
        };
        let inputs = fields.iter().map(|(name, value)| (name.clone(), Value::text(text(value)).under(name)));
        Ok(Item { inputs: inputs.collect(), name })
    };
    let items: Vec<Item> = match json {
        Json::Array(all) => all
            .iter()
            .enumerate()
            .map(|(number, json)| item(number.to_string(), json))
            .collect::<Result<_, String>>()?,
        Json::Object(all) => all.iter().map(|(name, json)| item(name.clone(), json)).collect::<Result<_, String>>()?,
        _ => return Err("it is neither a list nor an object".to_owned()),
    };
    if items.is_empty() { Err("it is empty".to_owned()) } else { Ok(items) }
}

impl Items {
    /// The values in it.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        let (known, later) = match self {
            Self::Known(items) => (items.as_slice(), None),
            Self::Later(value) => ([].as_slice(), Some(value)),
        };
        known.iter().flat_map(|item| item.inputs.iter().map(|(_, value)| value)).chain(later)
    }

    /// The values in it, to be replaced.
    pub(super) fn values_mut(&mut self) -> Vec<&mut Value> {
        match self {
            Self::Known(items) => {
                items.iter_mut().flat_map(|item| item.inputs.iter_mut().map(|(_, value)| value)).collect()
            }
            Self::Later(value) => vec![value],
        }
    }
}
