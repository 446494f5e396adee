//! spark
use super::super::value::Object;
use super::Fields;
use serde_json::Value as Json;
pub(super) fn job(_: &Object) -> Result<Json, String> { Err("later".into()) }
pub(super) fn node(_: &Object, _: Option<&Object>, _: &mut Fields) {}
