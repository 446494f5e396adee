//! Gives `amlrun-stage`, and only it, the place of libtorch: an absolute path for running from the build folder,
//! and `$ORIGIN` for an image or archive that ships the libraries beside the binary.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    let mut places = vec!["$ORIGIN".to_owned(), "$ORIGIN/../lib".to_owned()];
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        let lib = std::path::Path::new(&libtorch).join("lib");
        let lib = if lib.is_dir() { lib } else { libtorch.into() };
        if let Ok(lib) = lib.canonicalize() {
            places.push(lib.display().to_string());
        }
    }
    for place in places {
        println!("cargo:rustc-link-arg-bin=amlrun-stage=-Wl,-rpath,{place}");
    }
}
