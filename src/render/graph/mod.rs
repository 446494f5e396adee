//! A graph as text, or in the language of a drawing program.
//!
//! [`language::graph`](crate::language::graph) has the facts; `picture` is what the drawing programs have in common.

pub(crate) mod dot;
pub(crate) mod mermaid;
mod picture;
pub(crate) mod text;
