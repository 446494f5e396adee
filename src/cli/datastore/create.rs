//! `amlrun datastore create`: reads a file for `az ml datastore create`, and stores a definition in the workspace and,
//! separately, the user's credentials.
//!
//! The file may contain a secret, so values under `credentials` are masked in its diagnostics.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cli::component::accepted;
use crate::cli::format::Format;
use crate::cli::printer::Printer;
use crate::diagnostic::Diagnostics;
use crate::diagnostic::article::with_article;
use crate::error::Failed;
use crate::language::value::Object;
use crate::language::{Document, Kind, Target};
use crate::registry::credentials::CredentialsError;
use crate::registry::datastore::{CredentialKind, DatastoreKind};
use crate::registry::{Credentials, Datastore, DatastoreStore};
use crate::runner::project::Project;
use crate::secret::{Credential, MASK, Secret};
use crate::spec::is_secret;
use crate::store::Home;
use crate::yaml::overrides::Override;

/// What `datastore create` takes.
#[derive(clap::Args)]
pub(in crate::cli) struct Create {
    /// YAML file of the datastore
    #[arg(short, long)]
    file: PathBuf,

    /// Name of the datastore [default: 'name' in the file]
    #[arg(short, long)]
    name: Option<String>,

    /// Override values of the file, for example container_name=data
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<Override>,

    #[command(flatten)]
    format: Format,
}

impl Create {
    /// Creates the datastore, or replaces the one with its name, and prints it.
    pub(crate) fn execute(&self, project: &Project, printer: &Printer) -> Result<(), Failed> {
        self.format.check()?;
        let mut set = self.set.clone();
        set.extend(self.name.iter().map(|name| Override { keys: vec!["name".to_owned()], value: name.clone() }));
        let mut checked = project.check(&self.file, &set, Target::Local, Some(Kind::Datastore));
        hide_secrets(&mut checked);
        let object = accepted(checked, printer)?;
        let (datastore, credential) = read(&object)?;
        datastore.check()?;
        let home = project.home_of(&self.file);
        home.create()?;
        let store = DatastoreStore::at(home.datastores());
        let kept = keep(&home, &datastore, &credential)?;
        store.put(&datastore).inspect_err(|_| {
            // Nothing refers to the secret in that case, so failing to remove it does no harm.
            if let (Some(kept), None) = (&kept, store.find(&datastore.name).ok().flatten()) {
                let _ = kept.remove(home.root(), &datastore.name);
            }
        })?;
        if let (Some(what), Some(kept)) = (words(datastore.credential), &kept) {
            let (path, file) = (kept.path().display(), self.file.display());
            printer.err(&format!(
                "note: {what} is stored in {path}, which only you can read; you can remove it from {file}\n"
            ));
        } else if has_principal(&object) {
            printer.err("note: the credentials of a service principal are not stored: amlrun does not use them\n");
        }
        if datastore.kind != DatastoreKind::AzureBlob {
            let (name, what) = (&datastore.name, datastore.kind.words());
            printer.err(&format!(
                "note: amlrun does not read {what} yet; map it with [datastores.{name}] folder = \"PATH\" in amlrun.toml\n"
            ));
        }
        self.format.print(serde_json::to_value(&datastore).unwrap_or_default(), printer)
    }
}

/// Stores the secret before the definition that refers to it, or removes an earlier secret. `None` if there is no
/// secret and no place for secrets.
fn keep(home: &Home, datastore: &Datastore, credential: &Credential) -> Result<Option<Credentials>, Failed> {
    let credentials = match Credentials::of_user() {
        Err(CredentialsError::Nowhere) if *credential == Credential::Identity => return Ok(None),
        found => found?,
    };
    credentials.put(home.root(), &datastore.name, credential)?;
    Ok(Some(credentials))
}

/// The definition, and the secret separately.
fn read(object: &Object) -> Result<(Datastore, Credential), Failed> {
    let kind = match object.class {
        "AzureBlob" => DatastoreKind::AzureBlob,
        "AzureFile" => DatastoreKind::AzureFile,
        "AzureDataLakeGen2" => DatastoreKind::AzureDataLakeGen2,
        "AzureDataLakeGen1" => DatastoreKind::AzureDataLakeGen1,
        "OneLake" => DatastoreKind::OneLake,
        other => return Err(Failed::new(format!("{} is not a datastore", with_article(other)))),
    };
    let text = |field: &str| object.written(field).unwrap_or_default();
    let (account, container) = kind.fields();
    let lakehouse = object.get(container).and_then(|artifact| artifact.object()?.written("name"));
    let container = lakehouse.unwrap_or_else(|| text(container));
    let mut datastore = Datastore::new(&text("name"), kind, &text(account), &container);
    let given = |field: &str| object.written(field).filter(|text| !text.is_empty());
    datastore.endpoint = given("endpoint").unwrap_or(datastore.endpoint);
    datastore.protocol = given("protocol").unwrap_or(datastore.protocol);
    datastore.description = text("description");
    datastore.tags = strings(object, "tags");
    let credential = credential(object)?;
    datastore.credential = match &credential {
        Credential::AccountKey(_) => CredentialKind::AccountKey,
        Credential::Sas(_) => CredentialKind::Sas,
        Credential::Identity => CredentialKind::None,
    };
    Ok((datastore, credential))
}

fn credential(object: &Object) -> Result<Credential, Failed> {
    let Some(given) = object.get("credentials").and_then(|credentials| credentials.object()) else {
        return Ok(Credential::Identity);
    };
    let secret = |field: &str| {
        let text = given.written(field).unwrap_or_default();
        let text = text.trim().trim_start_matches('?').to_owned();
        if text.is_empty() { Err(Failed::new(format!("credentials.{field} is empty"))) } else { Ok(Secret::new(text)) }
    };
    match given.class {
        "AccountKey" => secret("account_key").map(Credential::AccountKey),
        "SasToken" => secret("sas_token").map(Credential::Sas),
        _ => Ok(Credential::Identity),
    }
}

fn has_principal(object: &Object) -> bool {
    let given = object.get("credentials").and_then(|credentials| credentials.object());
    given.is_some_and(|given| matches!(given.class, "ServicePrincipal" | "Certificate"))
}

fn words(kind: CredentialKind) -> Option<&'static str> {
    match kind {
        CredentialKind::None => None,
        CredentialKind::AccountKey => Some("the account key"),
        CredentialKind::Sas => Some("the SAS"),
    }
}

/// A mapping with text values.
pub(in crate::cli) fn strings(object: &Object, field: &str) -> BTreeMap<String, String> {
    object.map(field).iter().map(|entry| (entry.key.clone(), entry.value.python_str())).collect()
}

/// Masks the values under `credentials` in everything that is shown of a file: excerpts and messages.
fn hide_secrets(checked: &mut Document) {
    let secrets = RefCell::new(Vec::new());
    checked.sources = checked.sources.masked(|text| {
        let masked = mask(text);
        // Both have the same number of characters. They differ only where characters are masked.
        let hidden: String = text.chars().zip(masked.chars()).map(|(c, m)| if c == m { '\n' } else { c }).collect();
        secrets.borrow_mut().extend(hidden.split('\n').filter(|word| word.chars().count() > 2).map(str::to_owned));
        masked
    });
    let secrets = secrets.into_inner();
    let without = |text: &mut String| secrets.iter().for_each(|secret| *text = text.replace(secret, MASK));
    let mut diagnostics = Diagnostics::default();
    diagnostics.extend(checked.diagnostics.sorted().into_iter().cloned().map(|mut found| {
        without(&mut found.message);
        found.help.iter_mut().for_each(without);
        found.labels.iter_mut().for_each(|label| without(&mut label.message));
        found
    }));
    checked.diagnostics = diagnostics;
}

/// Masks every value under `credentials` or under a key that looks like a secret. Each character is replaced by one, so
/// that carets stay in place. Values of misspelt keys are masked too.
fn mask(text: &str) -> String {
    let indent_of = |line: &str| line.len() - line.trim_start().len();
    // The indentation of the key whose value continues on the next lines.
    let mut block = None;
    let lines = text.split_inclusive('\n').map(|line| {
        let indent = indent_of(line);
        if !line.trim().is_empty() && block.is_some_and(|block| indent <= block) {
            block = None;
        }
        let key = line.split([':', '=']).next().unwrap_or_default();
        if block.is_none() && hides(key.trim_matches(|c: char| c.is_whitespace() || "\"'{-".contains(c))) {
            block = Some(indent);
        }
        masked(line, block.is_some_and(|block| indent > block))
    });
    lines.collect()
}

/// Whether the values of a key are masked. For `--set`, the key is a path.
fn hides(key: &str) -> bool {
    key.split('.').any(|part| part == "credentials") || is_secret(key)
}

/// A line with the values of secret keys masked, or those of all keys if it is `under` one. Each value ends at a comma
/// or brace. A line without a key continues the value above it.
fn masked(line: &str, mut under: bool) -> String {
    let mut inside = under && !line.contains([':', '=']);
    let mut key = String::new();
    let each = line.chars().map(|c| {
        match c {
            ',' | '{' | '}' => (inside, key) = (false, String::new()),
            ':' | '=' if !inside => {
                let word = std::mem::take(&mut key);
                under |= word == "credentials" || word.starts_with("credentials.");
                inside = under || hides(&word);
                return c;
            }
            c if c.is_alphanumeric() || "_-.".contains(c) => key.push(c),
            _ => {}
        }
        if inside && !c.is_whitespace() && !"\"'".contains(c) { '*' } else { c }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_under_credentials_is_shown() {
        for (text, shown) in [
            (
                "name: a\ncredentials:\n  acount_key: s3cr==\nendpoint: x\n",
                "name: a\ncredentials:\n  acount_key: ******\nendpoint: x\n",
            ),
            ("credentials: {sas_token: '?a=b&c', x: y}\n", "credentials: {sas_token: '******', x: *}\n"),
            (
                "credentials:\n  account_key: >-\n    secret\n\n    more\nname: a\n",
                "credentials:\n  account_key: **\n    ******\n\n    ****\nname: a\n",
            ),
            ("credentials.account_key=secret", "credentials.account_key=******"),
            ("credentials: secret", "credentials: ******"),
            (
                "{name: a, \"credentials\": {\"sas_token\": \"x\"}}",
                "{name: a, \"credentials\": {\"sas_token\": \"*\"}}",
            ),
            ("credentails: {account_key: secret}\n", "credentails: {account_key: ******}\n"),
            ("account_key: |\n  secret\nname: a\n", "account_key: *\n  ******\nname: a\n"),
            ("description: 'note: public'\n", "description: 'note: public'\n"),
        ] {
            assert_eq!(mask(text), shown);
            assert_eq!(mask(text).chars().count(), text.chars().count());
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]
        #[test]
        fn carets_stay_where_they_belong(text in "([ -]{0,4}(credentials|sas_token|name|é|x=)?[:=,{}'\" ]{0,3}[a-zé]{0,6}\n?){0,8}") {
            let masked = mask(&text);
            let columns = |text: &str| text.lines().map(|line| line.chars().count()).collect::<Vec<_>>();
            proptest::prop_assert_eq!(columns(&masked), columns(&text));
        }

        #[test]
        fn no_value_under_credentials_is_left(key in "[a-z_]{1,12}", secret in "[A-Za-z0-9+/=%&?]{9,40}", flow in proptest::bool::ANY) {
            let text = match flow {
                true => format!("credentials: {{{key}: {secret}}}\n"),
                false => format!("credentials:\n  {key}: {secret}\nname: x\n"),
            };
            proptest::prop_assert!(!mask(&text).contains(&secret));
        }
    }
}
