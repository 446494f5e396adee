//! Azure, and the crates that speak to it: nothing outside this room names them.
//!
//! [`Container`] is a container of Azure Blob Storage as a [`Remote`](crate::store::remote::Remote) place. Its requests go
//! through a transport of our own under the crate's pipeline: the crate's opens a connection for each request and waits
//! without end. Signing, headers and XML are the crate's.
//!
//! Refuses to try anything twice (`transfer` does), to know where credentials come from (the command line does), and to
//! put one into a message.

mod blob;
mod container;
pub mod host;
mod identity;
mod transport;

pub use container::Container;
