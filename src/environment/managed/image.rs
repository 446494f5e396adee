//! What the name of an image tells about its content.

/// The version of Python in an image, if its name tells it: `python:3.11-slim`, or a part of the name such as `py38`.
/// That form is the one of Azure ML's own images for inference, such as `minimal-ubuntu20.04-py38-cpu-inference`.
#[must_use]
pub(in crate::environment) fn python(image: &str) -> Option<String> {
    let image = image.split('@').next().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let (name, tag) = last.split_once(':').unwrap_or((last, ""));
    if name == "python" {
        return version(tag.split('-').next().unwrap_or_default());
    }
    let short = name.split(['-', '_']).find_map(|part| part.strip_prefix("py3"))?;
    version(&format!("3.{short}"))
}

/// The first two numbers of a version of Python 3.
fn version(text: &str) -> Option<String> {
    let mut parts = text.split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    let is_number = |text: &str| !text.is_empty() && text.len() <= 2 && text.chars().all(|c| c.is_ascii_digit());
    (major == "3" && is_number(minor) && parts.all(is_number)).then(|| format!("3.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_tell_the_version_of_python() {
        for (image, expected) in [
            ("python:3.11", Some("3.11")),
            ("python:3.11.4-slim-bookworm", Some("3.11")),
            ("docker.io/library/python:3.8", Some("3.8")),
            ("localhost:5000/python:3.12@sha256:0123", Some("3.12")),
            ("mcr.microsoft.com/azureml/minimal-ubuntu20.04-py38-cpu-inference", Some("3.8")),
            ("mcr.microsoft.com/azureml/minimal-py312-inference:latest", Some("3.12")),
            ("python", None),
            ("docker.io/python", None),
            ("python:3", None),
            ("python:latest", None),
            ("python:2.7", None),
            ("mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04", None),
            ("someone/mypython:3.11", None),
            ("", None),
        ] {
            assert_eq!(python(image).as_deref(), expected, "{image}");
        }
    }
}
