//! Azure, and the crates for it: no code outside this module uses them.
//!
//! [`Container`] is a container of Azure Blob Storage as [`Remote`](crate::store::remote::Remote) storage. Its
//! requests go through our own transport under the crate's pipeline, because the crate's transport opens a connection
//! for each request and has no timeouts. The crate does signing, headers and XML.
//!
//! This module does not retry (`transfer` does), does not know where credentials come from (the command line does),
//! and never puts a credential into a message.

mod blob;
mod container;
pub mod host;
mod identity;
mod transport;

pub use container::Container;
