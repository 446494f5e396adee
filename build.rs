//! Gives `amlrun-stage`, and only it, the place of libtorch: an absolute path for running from the build folder,
//! and `$ORIGIN` for an image or archive that ships the libraries beside the binary. Also the version of libtorch,
//! which the stages write beside what they train.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    let Some(libtorch) = std::env::var_os("LIBTORCH").map(PathBuf::from).filter(|place| place.join("lib").is_dir())
    else {
        // This runs beside torch-sys's own search for libtorch, which ends in a page of compiler errors.
        println!(
            "cargo:error=libtorch is not here: run `make libtorch` (scripts/libtorch.py), or set LIBTORCH to yours"
        );
        std::process::exit(1);
    };
    let header = libtorch.join("include/torch/headeronly/version.h");
    println!("cargo:rerun-if-changed={}", header.display());
    println!("cargo:rustc-env=AMLRUN_LIBTORCH_VERSION={}", version(&header).unwrap_or_else(|| "unknown".to_owned()));
    let here = if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("macos") { "@loader_path" } else { "$ORIGIN" };
    let mut places = vec![here.to_owned(), format!("{here}/../lib")];
    if let Ok(lib) = libtorch.join("lib").canonicalize() {
        places.push(lib.display().to_string());
    }
    for place in places {
        println!("cargo:rustc-link-arg-bin=amlrun-stage=-Wl,-rpath,{place}");
    }
}

/// `2.13.0` from the lines `#define TORCH_VERSION_MAJOR 2` and so on.
fn version(header: &Path) -> Option<String> {
    let text = std::fs::read_to_string(header).ok()?;
    let part = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("#define TORCH_VERSION_")?.strip_prefix(name));
        line.map(|number| number.trim().to_owned())
    };
    Some(format!("{}.{}.{}", part("MAJOR ")?, part("MINOR ")?, part("PATCH ")?))
}
