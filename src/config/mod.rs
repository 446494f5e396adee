//! Reads `amlrun.toml`: the settings of a project for its runs on this machine.
//!
//! Flags take precedence over `AMLRUN_*` variables, these over the file, and the file over the defaults. The file is
//! optional; it also marks the location of the workspace. [`crate::plan::local`] describes its settings of steps, and
//! [`storage`] those of storage.

pub(crate) mod secret_ref;
pub(crate) mod storage;
pub(crate) mod trust;
pub(crate) mod user;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use self::secret_ref::CredentialRef;
use self::storage::{AccountRules, DatastoreRules, Transfer};
use self::user::UserConfig;
use crate::environment::managed::gpu;
use crate::environment::managed::locked::Locked;
use crate::environment::resolve::{Policy, Replacement, Settings};
use crate::error::Failed;
use crate::plan::Local;
use crate::plan::local::StepRules;
use crate::transfer::Limits;
use std::sync::Once;

/// The file's name.
pub(crate) const FILE: &str = "amlrun.toml";

/// The table `[environments]`: how they are provided, and the project's own definitions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct EnvironmentRules {
    default: Policy,
    engine: Option<String>,
    curated_tools: bool,
    #[serde(flatten)]
    replacements: BTreeMap<String, Replacement>,
}

/// The content of the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// How many steps may run at once.
    pub jobs: Option<u16>,
    /// Seconds that a step has to end by itself after it was asked to stop.
    pub grace: Option<u64>,
    /// How many bytes of a step's output are kept.
    pub log_limit: Option<u64>,
    /// How data is transferred.
    pub transfer: Transfer,
    /// The locations of datastores, by name.
    pub datastores: BTreeMap<String, DatastoreRules>,
    /// The endpoints of storage accounts, by name.
    pub accounts: BTreeMap<String, AccountRules>,
    /// Shell variables that steps inherit in addition to the usual ones. They may include variables with storage
    /// secrets.
    pub pass_variables: Vec<String>,
    /// What the user allows all projects to do.
    #[serde(skip)]
    pub user: UserConfig,
    environments: EnvironmentRules,
    steps: BTreeMap<String, StepRules>,
    types: BTreeMap<String, StepRules>,
    #[serde(skip)]
    folder: PathBuf,
    /// The digest of the file's text.
    #[serde(skip)]
    digest: String,
    #[serde(skip)]
    locked: Option<Locked>,
}

impl Config {
    /// The file in or above the folder of `near`; the defaults if it does not exist.
    ///
    /// # Errors
    /// A message with the position, when the file cannot be read or has invalid content.
    pub(crate) fn near(near: &Path) -> Result<Self, Failed> {
        // Joined, not made absolute: the path near a bare file name is empty, and means the current folder.
        let start = std::env::current_dir().unwrap_or_default().join(near);
        let Some(folder) = start.ancestors().find(|folder| folder.join(FILE).is_file()) else {
            return Ok(Self { user: UserConfig::load()?, ..Self::default() });
        };
        let path = folder.join(FILE);
        let shown = crate::report::summary::shown(&path);
        let text = std::fs::read_to_string(&path).map_err(|e| Failed::new(format!("cannot read {shown}: {e}")))?;
        let mut config = Self::read(&text).map_err(|(place, message)| {
            Failed::new(format!("{shown}:{place}: {message}")).hint(
                "use jobs, grace, log_limit, pass_variables, and the tables [steps.<path>], [types.<type>], \
                [datastores.<name>], [accounts.<name>], [environments] and [transfer]",
            )
        })?;
        if config.transfer.patience.is_some() {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| log::warn!("{shown}: 'patience' in [transfer] was renamed to 'retry_timeout'"));
        }
        config.folder = folder.to_owned();
        config.digest = blake3::hash(text.as_bytes()).to_hex().to_string();
        config.user = UserConfig::load()?;
        Ok(config)
    }

    /// Reads the file's text. An error has its line and column, but not the text around it, which may be a secret.
    fn read(text: &str) -> Result<Self, (String, String)> {
        toml::from_str(text).map_err(|e| {
            let (line, column) = place(text, e.span().map_or(0, |span| span.start));
            (format!("{line}:{column}"), e.message().replace('\n', ", "))
        })
    }

    /// The variables that hold storage secrets, except those that are passed to steps.
    pub(crate) fn secret_variables(&self) -> Vec<String> {
        const AZ: [&str; 7] = [
            "AZURE_STORAGE_KEY",
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_CONNECTION_STRING",
            "AZURE_CLIENT_SECRET",
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
            "AZURE_FEDERATED_TOKEN",
            "AMLRUN_CREDENTIALS",
        ];
        let accounts = self.accounts.values().filter_map(|rules| rules.credential.as_ref());
        let datastores = self.datastores.values().filter_map(|rules| rules.credential.as_ref());
        let named = accounts.chain(datastores).filter_map(CredentialRef::variable);
        let all = named.chain(AZ).filter(|name| self.pass_variables.iter().all(|passed| passed != name));
        all.map(str::to_owned).collect()
    }

    /// The folder of the file. Relative paths in the file start there.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The limits of transfers. Command line options take precedence.
    pub(crate) fn limits(&self, jobs: Option<u16>) -> Limits {
        let default = Limits::default();
        let seconds = |given: Option<u64>, default| given.map_or(default, Duration::from_secs);
        Limits {
            jobs: jobs.or(self.transfer.jobs).map(usize::from),
            stall: seconds(self.transfer.stall, default.stall),
            retry_timeout: seconds(self.transfer.retry_timeout.or(self.transfer.patience), default.retry_timeout),
        }
    }

    /// Its settings of environments.
    pub(crate) fn environments(&self) -> Settings {
        let EnvironmentRules { default: policy, engine, curated_tools: tools, replacements } =
            self.environments.clone();
        let (folder, locked, has_gpu) = (self.folder.clone(), self.locked.clone(), gpu::is_there());
        Settings { policy, replacements, engine, tools, folder, locked, has_gpu, registered: None }
    }

    /// The same with environments provided in another way, if one was chosen, and with exact versions.
    #[must_use]
    pub(crate) fn with_environments(mut self, chosen: Option<Policy>, locked: Option<Locked>) -> Self {
        self.environments.default = chosen.unwrap_or(self.environments.default);
        self.locked = locked;
        self
    }

    /// Its settings of steps.
    pub(crate) fn local(&self) -> Local {
        Local { steps: self.steps.clone(), types: self.types.clone(), folder: self.folder.clone() }
    }
}

/// The line and column of a byte offset, counted from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::secret_ref::{CredentialRef, SecretRef};
    use super::storage::DatastorePlace;
    use super::*;
    use crate::secret::{Credential, Secret};

    #[test]
    fn storage_is_read() {
        let text = r#"
            [datastores.local]
            folder = "samples"
            [datastores.cloud]
            container = "https://a.blob.core.windows.net/box/v2/"
            sas_token = { env = "SAS" }
            [datastores.created]
            account_key = { file = "key" }
            [accounts.dev]
            endpoint = "http://127.0.0.1:10000/dev/"
            account_key = { env = "KEY" }
            [transfer]
            jobs = 4
            stall = 30
        "#;
        let config = Config::read(text).unwrap();
        assert_eq!(config.datastores["local"].place, Some(DatastorePlace::Folder("samples".into())));
        let cloud = &config.datastores["cloud"];
        assert_eq!(cloud.place, Some(DatastorePlace::Container("https://a.blob.core.windows.net/box/v2".into())));
        assert_eq!(cloud.credential, Some(CredentialRef::Sas(SecretRef::Env("SAS".into()))));
        assert_eq!(config.datastores["created"].place, None);
        assert_eq!(config.accounts["dev"].endpoint.as_deref(), Some("http://127.0.0.1:10000/dev"));
        assert_eq!(config.transfer, Transfer { jobs: Some(4), stall: Some(30), retry_timeout: None, patience: None });
    }

    #[test]
    fn a_secret_in_the_file_is_refused_and_not_quoted() {
        let refused = |text: &str| Config::read(text).unwrap_err();
        for (text, word) in [
            ("[accounts.a]\naccount_key = \"topsecret\"", "{ env = \"NAME\" }"),
            ("[accounts.a]\naccount_key = 4711topsecret", ""),
            ("[datastores.d]\nsas_token = [\"topsecret\"]", "{ file = \"PATH\" }"),
            ("[datastores.d]\nsas_token = { value = \"topsecret\" }", "{ env = \"NAME\" }"),
            ("[datastores.d]\nsas_token = { env = \"A\", file = \"topsecret\" }", "{ env = \"NAME\" }"),
            ("[datastores.d]\ncontainer = \"https://a.blob.core.windows.net/c?sig=topsecret\"", "remove the signature"),
        ] {
            let (place, message) = refused(text);
            assert!(message.contains(word) && !message.contains("topsecret"), "{message}");
            assert!(place.starts_with("2:") || place.starts_with("1:"), "{place}");
        }
        for (text, word) in [
            ("[datastores.d]\nfolder = \"x\"\ncontainer = \"https://a/b\"", "not both"),
            ("[datastores.d]\nfolder = \"x\"\naccount_key = { env = \"A\" }", "cannot have"),
            ("[datastores.d]", "folder = "),
            ("[datastores.d]\nfoldr = \"x\"", "foldr"),
            ("[datastores.d]\ncontainer = \"box\"", "not a valid URL"),
            ("[accounts.a]\nendpoint = \"ftp://x\"", "http"),
            ("[accounts.a]\naccount_key = { env = \"A\" }\nsas_token = { env = \"A\" }", "not both"),
            ("[transfer]\njobs = 70000", "70000"),
        ] {
            assert!(refused(text).1.contains(word), "{}", refused(text).1);
        }
    }

    #[test]
    fn what_is_referred_to_is_read_when_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "?sv=1&sig=x\n").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        let variable = |name: &str| (name == "KEY").then(|| "k==".to_owned());
        let read =
            |reference: CredentialRef| reference.read("accounts.a", folder.path(), &variable, &UserConfig::default());
        let key = |name: &str| CredentialRef::AccountKey(SecretRef::Env(name.into()));
        let token = |name: &str| CredentialRef::Sas(SecretRef::File(name.into()));
        assert_eq!(read(key("KEY")), Ok(Credential::AccountKey(Secret::new("k=="))));
        assert_eq!(read(token("token")), Ok(Credential::Sas(Secret::new("sv=1&sig=x"))));
        let error = read(key("OTHER")).unwrap_err();
        assert!(error.contains("accounts.a.account_key") && error.contains("variable OTHER"), "{error}");
        let error = read(token("none")).unwrap_err();
        assert!(error.contains("accounts.a.sas_token") && error.contains("none, which cannot be read"), "{error}");
        assert!(read(token("empty")).unwrap_err().contains("is empty"));
    }
}
