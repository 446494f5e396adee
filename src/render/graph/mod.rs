//! A graph as text, or in the language of a drawing program.
//!
//! [`language::graph`](crate::language::graph) has the graph itself; `picture` has what the drawing programs share.

pub(crate) mod dot;
pub(crate) mod mermaid;
mod picture;
pub(crate) mod text;
