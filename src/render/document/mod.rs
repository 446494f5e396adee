//! A resolved document with the origins of its values.

pub(crate) mod json;
mod origin;
pub(crate) mod yaml;
