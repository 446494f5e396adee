//! Checks that harmless functions are called with arguments that torch passes: some of them call their arguments.

use crate::model_file::safety::is_weights_only;
use crate::model_file::unpickle::{Call, Evidence, Id, Node, Pickle};

/// Checks every call in a pickle, including those whose result is discarded.
pub fn observe(pickle: &Pickle, evidence: &mut Evidence) {
    for node in pickle.nodes() {
        match node {
            Node::Call(call) => {
                let Some((module, name)) = pickle.global(call.callable) else { continue };
                if !fits(pickle, call, module, name) {
                    evidence.doubt(format!("{module}.{name} is called with arguments that no model uses"));
                }
                strict(pickle, call, evidence);
            }
            Node::Persistent(key) if is_class(pickle, *key) => {
                evidence.reservation("it contains classes with their source code, as torch before 1.6 wrote them");
            }
            Node::Persistent(key) if !is_storage(pickle, *key) => {
                evidence.doubt("a value is stored under a key that torch does not write");
            }
            _ => {}
        }
    }
}

fn fits(pickle: &Pickle, call: &Call, module: &str, name: &str) -> bool {
    let arguments = &*call.arguments;
    let first = arguments.first().copied();
    match (module, name) {
        // It calls its first argument with the third.
        ("torch._tensor", "_rebuild_from_type_v2") => match arguments {
            [function, class, inner, _] => {
                let rebuilds = |(module, name): (&str, &str)| {
                    module == "torch._utils" && name.starts_with("_rebuild_") && is_weights_only(module, name)
                };
                pickle.global(*function).is_some_and(rebuilds)
                    && pickle.global(*class).is_some()
                    && matches!(pickle.node(*inner), Node::Tuple(_))
            }
            _ => false,
        },
        // It calls methods of its second argument with the third.
        ("copyreg" | "copy_reg", "_reconstructor") => match arguments {
            [class, base, state] => {
                pickle.global(*class).is_some()
                    && pickle.global(*base).is_some_and(|(module, name)| {
                        let plain =
                            matches!(name, "object" | "dict" | "list" | "tuple" | "set" | "int" | "float" | "str");
                        matches!(module, "builtins" | "__builtin__") && plain
                    })
                    && !matches!(pickle.node(*state), Node::Call(_) | Node::Global(_) | Node::Persistent(_))
            }
            _ => false,
        },
        // Any other name of an encoding is looked up among Python's modules.
        ("_codecs", "encode") => match arguments {
            [_, encoding] => matches!(pickle.text(*encoding), Some("latin1" | "latin-1" | "ascii" | "utf-8")),
            _ => arguments.len() == 1,
        },
        ("collections", "defaultdict") => {
            first.is_none_or(|first| matches!(pickle.node(first), Node::None | Node::Global(_)))
        }
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => first.is_some_and(|class| {
            matches!(pickle.global(class), Some(("numpy", "ndarray" | "matrix" | "memmap") | ("numpy.ma.core", _)))
        }),
        // An object is returned unchanged.
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => first.is_some_and(|dtype| {
            let code = pickle.call(dtype).and_then(|call| call.arguments.first()).and_then(|&code| pickle.text(code));
            code.is_some_and(|code| !code.contains('O'))
        }),
        _ => true,
    }
}

/// What `torch.load(weights_only=True)` refuses although it allows the import.
fn strict(pickle: &Pickle, call: &Call, evidence: &mut Evidence) {
    let Some((module, name)) = pickle.global(call.callable) else { return };
    let takes = |what: &[&str]| module == "collections" && what.contains(&name);
    let refused = if call.state.is_some() && !takes(&["OrderedDict", "Counter"]) && name != "Parameter" {
        Some("a state for")
    } else if !call.entries.is_empty() && !takes(&["OrderedDict", "Counter"]) {
        Some("keys added to")
    } else if !call.items.is_empty() {
        Some("items added to")
    } else {
        None
    };
    if let Some(what) = refused {
        evidence.refused_by_strict(|| format!("{what} {module}.{name}"));
    }
}

/// `('storage', class, key, location, elements, …)`.
fn is_storage(pickle: &Pickle, key: Id) -> bool {
    match pickle.items(key) {
        Some([tag, class, _, location, ..]) => {
            pickle.text(*tag) == Some("storage")
                && pickle.global(*class).is_some_and(|(_, name)| name.ends_with("Storage"))
                && pickle.text(*location).is_some()
        }
        _ => false,
    }
}

/// `('module', class, file, source)`, the form in which torch before 1.6 stored classes.
fn is_class(pickle: &Pickle, key: Id) -> bool {
    match pickle.items(key) {
        Some([tag, class, ..]) => pickle.text(*tag) == Some("module") && pickle.global(*class).is_some(),
        _ => false,
    }
}
