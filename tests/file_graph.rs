//! Which file uses which: no two files need each other, also inside of a module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// Files that may use each other, with the reason.
const ALLOWED: [&[&str]; 0] = [];

#[test]
fn no_file_needs_one_that_needs_it() {
    let mut cycles = Vec::new();
    for root in ["src/lib.rs", "src/bin/amlrun-stage/main.rs"] {
        cycles.extend(Crate::read(Path::new(root)).cycles());
    }
    let allowed: Vec<Vec<String>> =
        ALLOWED.iter().map(|files| files.iter().map(|&file| file.to_owned()).collect()).collect();
    let wrong: Vec<String> = cycles.iter().filter(|cycle| !allowed.contains(cycle)).map(|c| c.join(" ")).collect();
    assert!(wrong.is_empty(), "{} cycles between files:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(cycles.len(), allowed.len(), "a cycle that is allowed is not there any more");
}

#[test]
fn a_cycle_is_found_through_a_name_that_is_passed_on() {
    let files = [
        ("a", "mod one; mod two; pub use two::Two; fn run() { one::start() }"),
        ("a::one", "use super::Two; pub fn start() { let _ = Two; }"),
        ("a::two", "pub struct Two; fn again() { super::one::start() }"),
        ("b", "use crate::a::Two; #[cfg(test)] mod tests { use crate::c::C; }"),
        ("c", "use crate::b; pub struct C; fn x() { println!(\"{}\", b::NAME) }"),
    ];
    let mut made = Crate::default();
    for (module, text) in files {
        made.add(module.split("::").map(str::to_owned).collect(), PathBuf::from(module), text);
    }
    assert_eq!(made.cycles(), [["a::one", "a::two"]]);
    let of_c = &made.edges()[&PathBuf::from("c")];
    assert_eq!(of_c.iter().collect::<Vec<_>>(), [Path::new("b")]);
}

type Module = Vec<String>;

/// The modules of a crate that have a file of their own.
#[derive(Default)]
struct Crate {
    files: BTreeMap<Module, File>,
}

#[derive(Default)]
struct File {
    path: PathBuf,
    /// Names that stand for a path: imports, and children that it declares.
    names: BTreeMap<String, Module>,
    /// The imports that others can use, too.
    passed_on: BTreeSet<String>,
    /// Modules of which all names are imported.
    globs: Vec<Module>,
    /// Every path in its code, as it is written.
    used: BTreeSet<Module>,
}

impl Crate {
    fn read(root: &Path) -> Self {
        let mut made = Self::default();
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join(root.parent().unwrap());
        let mut folders = vec![(top.clone(), Module::new())];
        while let Some((folder, module)) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                let name = entry.file_stem().unwrap().to_str().unwrap().to_owned();
                let below = |name: &str| module.iter().cloned().chain([name.to_owned()]).collect::<Module>();
                let is_root = module.is_empty() && ["lib", "main"].contains(&name.as_str());
                if entry.is_dir() && name != "bin" {
                    folders.push((entry, below(&name)));
                } else if entry.extension().is_some_and(|ending| ending == "rs") && name != "tests" && !is_root {
                    let shown = root.parent().unwrap().join(entry.strip_prefix(&top).unwrap());
                    let own = if name == "mod" { module.clone() } else { below(&name) };
                    made.add(own, shown, &std::fs::read_to_string(&entry).unwrap());
                }
            }
        }
        assert!(made.files.len() > 10, "{}: no crate", root.display());
        made
    }

    fn add(&mut self, module: Module, path: PathBuf, text: &str) {
        let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut file = File { path, ..File::default() };
        Reader(&mut file).visit_file(&syntax);
        self.files.insert(module, file);
    }

    /// The file that has what a path names, seen from a module.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<&PathBuf> {
        let (first, rest) = path.split_first()?;
        if depth == 0 {
            return None;
        }
        match first.as_str() {
            "crate" => self.descend(&Module::new(), rest, depth),
            "self" => self.descend(from, rest, depth),
            "super" => {
                let above = from[..from.len().checked_sub(1)?].to_vec();
                let is_above = rest.first().is_some_and(|next| next == "super");
                if is_above { self.resolve(&above, rest, depth - 1) } else { self.descend(&above, rest, depth) }
            }
            name => {
                let file = self.files.get(from)?;
                let target = file.names.get(name)?;
                let whole: Module = target.iter().chain(rest).cloned().collect();
                self.resolve(from, &whole, depth - 1)
            }
        }
    }

    /// The same from a module on, by the names of its children and what it passes on.
    fn descend(&self, from: &Module, path: &[String], depth: usize) -> Option<&PathBuf> {
        let (first, rest) = path.split_first()?;
        let child: Module = from.iter().cloned().chain([first.clone()]).collect();
        if self.files.contains_key(&child) {
            return self.descend(&child, rest, depth);
        }
        let file = self.files.get(from)?;
        if file.passed_on.contains(first) {
            let target = &file.names[first];
            let whole: Module = target.iter().chain(rest).cloned().collect();
            return self.resolve(from, &whole, depth.checked_sub(1)?);
        }
        Some(&file.path)
    }

    fn edges(&self) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
        let of = |(module, file): (&Module, &File)| {
            let used = file.used.iter().filter_map(|path| self.resolve(module, path, 8)).cloned();
            let globs = file.globs.iter().filter_map(|path| {
                let inside: Module = path.iter().cloned().chain(["*".to_owned()]).collect();
                self.resolve(module, &inside, 8).cloned()
            });
            (file.path.clone(), used.chain(globs).filter(|used| *used != file.path).collect())
        };
        self.files.iter().map(of).collect()
    }

    /// Groups of files each of which needs all the others.
    fn cycles(&self) -> Vec<Vec<String>> {
        let edges = self.edges();
        let reach = |start: &PathBuf| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![start.clone()]);
            while let Some(file) = open.pop() {
                open.extend(edges[&file].iter().filter(|next| seen.insert((*next).clone())).cloned());
            }
            seen
        };
        let reached: BTreeMap<&PathBuf, BTreeSet<PathBuf>> = edges.keys().map(|file| (file, reach(file))).collect();
        let group = |file: &PathBuf| {
            let both = reached[file].iter().filter(|other| reached[*other].contains(file));
            both.map(|file| file.display().to_string()).collect::<Vec<_>>()
        };
        let groups: BTreeSet<Vec<String>> = edges.keys().map(group).filter(|group| group.len() > 1).collect();
        groups.into_iter().collect()
    }
}

/// Collects the paths of a file, without its tests.
struct Reader<'a>(&'a mut File);

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

impl Reader<'_> {
    fn import(&mut self, tree: &syn::UseTree, before: &Module, passes_on: bool) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Module>();
        let (name, target) = match tree {
            syn::UseTree::Path(path) => return self.import(&path.tree, &with(&path.ident), passes_on),
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|item| self.import(item, before, passes_on));
            }
            syn::UseTree::Glob(_) => return self.0.globs.push(before.clone()),
            syn::UseTree::Name(name) if name.ident == "self" => {
                (before.last().cloned().unwrap_or_default(), before.clone())
            }
            syn::UseTree::Name(name) => (name.ident.to_string(), with(&name.ident)),
            syn::UseTree::Rename(rename) => (rename.rename.to_string(), with(&rename.ident)),
        };
        // What is only passed on is not used here.
        if !passes_on {
            self.0.used.insert(target.clone());
        } else {
            self.0.passed_on.insert(name.clone());
        }
        self.0.names.insert(name, target);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_test(&item.attrs) {
            return;
        }
        if item.content.is_none() {
            let path = vec!["self".to_owned(), item.ident.to_string()];
            self.0.names.insert(item.ident.to_string(), path);
        }
        syn::visit::visit_item_mod(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            let passes_on = !matches!(item.vis, syn::Visibility::Inherited);
            self.import(&item.tree, &Module::new(), passes_on);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.used.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    /// What is in a macro's brackets is no syntax yet: its paths are looked for as text.
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let text = item.tokens.to_string().replace(" :: ", "::");
        for word in text.split(|c: char| !(c.is_alphanumeric() || "_:".contains(c))).filter(|word| word.contains("::"))
        {
            self.0.used.insert(word.trim_matches(':').split("::").map(str::to_owned).collect());
        }
    }
}
