//! An image, and the names of images.

use crate::digest::Digest;

/// An image that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its id, a digest of its content.
    pub id: String,
    /// What it is made for, such as `linux/amd64`.
    pub platform: String,
}

/// The name of an image that amlrun makes: the same content has the same name.
pub(super) fn made(digest: &Digest) -> String {
    format!("localhost/amlrun/env:{}", digest.short())
}

/// The full name of an image of Docker Hub. Docker completes a short name itself; podman does so only where it is
/// configured. `None` if the name is complete.
pub(super) fn qualified(name: &str) -> Option<String> {
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => None,
        Some(_) => Some(format!("docker.io/{name}")),
        None => Some(format!("docker.io/library/{name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_those_of_docker_hub() {
        assert_eq!(qualified("python:3.11").as_deref(), Some("docker.io/library/python:3.11"));
        assert_eq!(qualified("pytorch/pytorch").as_deref(), Some("docker.io/pytorch/pytorch"));
        for name in ["mcr.microsoft.com/a/b:1", "localhost/x", "registry:5000/x"] {
            assert_eq!(qualified(name), None);
        }
    }
}
