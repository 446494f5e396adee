//! Packages for GPUs on a machine that has none.

use std::path::Path;

use super::definition::Definition;
use super::requirements;

/// Whether this machine has a GPU of NVIDIA whose driver is loaded.
#[must_use]
pub fn is_there() -> bool {
    Path::new("/proc/driver/nvidia/version").exists() || Path::new("/dev/nvidia0").exists()
}

/// Leaves out what only a GPU needs: the CUDA libraries of NVIDIA, as packages or as the extra of `tensorflow`. The
/// wheels of torch on PyPI depend on those libraries also without a GPU.
pub(in crate::environment) fn leave_out(definition: &mut Definition) {
    let mut left_out = Vec::new();
    definition.requirements.retain_mut(|line| {
        let Some(name) = requirements::name(line) else { return true };
        if line.contains("[and-cuda]") {
            *line = line.replace("[and-cuda]", "");
            left_out.push(format!("{name}[and-cuda]"));
        }
        let is_library =
            name.starts_with("nvidia-") && ["-cu11", "-cu12", "-cu13"].iter().any(|end| name.ends_with(end));
        if is_library {
            left_out.push(name);
        }
        !is_library
    });
    if !left_out.is_empty() {
        definition.notes.push(format!("left out, because this machine has no GPU: {}", left_out.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuda_libraries_are_left_out_and_named() {
        let lines = ["tensorflow[and-cuda]==2.16.2", "nvidia-cudnn-cu12==9.1", "nvidia-ml-py", "torch", "-e /x"];
        let mut definition = Definition { requirements: lines.map(str::to_owned).into(), ..Definition::default() };
        leave_out(&mut definition);
        assert_eq!(definition.requirements, ["tensorflow==2.16.2", "nvidia-ml-py", "torch", "-e /x"]);
        assert!(definition.notes[0].ends_with("tensorflow[and-cuda], nvidia-cudnn-cu12"), "{:?}", definition.notes);
        leave_out(&mut definition);
        assert_eq!(definition.notes.len(), 1);
    }
}
