//! Blobs: the account of an address, its endpoint, and its credentials.
//!
//! Credentials are looked up in this order: the signature in the address; the datastore in `amlrun.toml`; the
//! credentials with which the datastore was created; the account in `amlrun.toml`; the environment variables of `az`;
//! Entra ID. A secret is only used for the account that it belongs to. A project may come from a stranger, so it cannot
//! choose where a secret is sent. Secrets are sent only to Azure's hosts, to this machine, to the host for which they
//! were stored, to the host that the environment names with them, and to hosts that the user trusts.

use super::{Place, Places};
use crate::again::amlrun;
use crate::azure::host::Host;
use crate::config::secret_ref::CredentialRef;
use crate::config::storage::DatastorePlace;
use crate::registry::Datastore;
use crate::registry::datastore::{CredentialKind, DatastoreKind, is_bare_host};
use crate::secret::{Credential, Secret};
use crate::spec::data_uri::{BlobUri, DataUri};

/// The host suffixes of Azure, in all of its clouds.
const CLOUDS: [&str; 6] = [
    ".core.windows.net",
    ".core.chinacloudapi.cn",
    ".core.usgovcloudapi.net",
    ".core.cloudapi.de",
    ".storage.azure.net",
    ".fabric.microsoft.com",
];

impl Places {
    /// A blob of a datastore.
    pub(crate) fn blob_of(&self, name: &str, uri: BlobUri, created: Option<&Datastore>) -> Result<Place, String> {
        let uri = self.rerouted(uri);
        let rules = self.config.datastores.get(name).and_then(|rules| rules.credential.as_ref());
        // The datastore's own credentials take precedence over those of its account.
        let own = match (rules, created) {
            (Some(reference), _) => Some(self.referred(reference, &format!("datastores.{name}"))?),
            (None, Some(created)) => self.kept(created)?,
            (None, None) => None,
        };
        let kept_for = created.filter(|_| own.is_some() && rules.is_none()).map(|created| created.root().1);
        let credential = match own {
            Some(own) => Some(own),
            None => self.of_account(&uri.account)?,
        };
        let credential = credential.or_else(|| self.of_environment(&uri.account));
        self.may_receive(&uri, credential.as_ref(), kept_for.as_deref())?;
        let opened = created.map_or(CredentialKind::None, |created| created.credential);
        match (credential, opened) {
            (Some(credential), _) => Ok(Place::Blob { uri, credential }),
            (None, _) if !self.opens => Ok(Place::Blob { uri, credential: Credential::Identity }),
            (None, CredentialKind::None) => Ok(Place::Blob { uri, credential: Credential::Identity }),
            (None, kind) => {
                let what = if kind == CredentialKind::Sas { "a SAS" } else { "an account key" };
                Err(format!(
                    "the datastore '{name}' was created with {what}, which is missing from your credentials for this \
                    workspace: create it again: {}",
                    amlrun("datastore create -f FILE")
                ))
            }
        }
    }

    /// A blob whose address names no datastore.
    pub(crate) fn bare_blob(&self, mut uri: BlobUri) -> Result<Place, String> {
        let given = uri.sas.take();
        let written = uri.endpoint.clone();
        let uri = self.rerouted(uri);
        if let Some(signature) = given {
            let credential = Credential::Sas(signature);
            // The credential belongs to the host in this address. Another host gets it only if it may receive any
            // secret.
            self.may_receive(&uri, Some(&credential), Some(&written))?;
            return Ok(Place::Blob { uri, credential });
        }
        if !self.is_trusted(&uri)? {
            let account = &uri.account;
            return Err(format!(
                "the host of {} does not belong to Azure: if this is your account, add [accounts.{account}] endpoint = \
                \"{}\" to amlrun.toml",
                uri.address(),
                uri.endpoint
            ));
        }
        let (credential, kept_for) = self.of_container(&uri)?;
        let credential = credential.or_else(|| self.of_environment(&uri.account));
        self.may_receive(&uri, credential.as_ref(), kept_for.as_deref())?;
        Ok(Place::Blob { uri, credential: credential.unwrap_or(Credential::Identity) })
    }

    /// A web address as that of a blob, if it is under a known endpoint.
    pub(crate) fn known_blob(&self, url: &str) -> Result<Option<BlobUri>, String> {
        let accounts = self.config.accounts.iter();
        let configured = accounts.filter_map(|(account, rules)| Some((account.clone(), rules.endpoint.clone()?)));
        if let Some(uri) = configured.into_iter().find_map(|(account, root)| BlobUri::under(&root, &account, url)) {
            return Ok(Some(uri));
        }
        if let (Some(root), Some(account)) = (self.connection("BlobEndpoint"), self.connection("AccountName"))
            && let Some(uri) = BlobUri::under(root.trim_end_matches('/'), &account, url)
        {
            return Ok(Some(uri));
        }
        for (name, rules) in &self.config.datastores {
            if let Some(DatastorePlace::Container(address)) = &rules.place
                && let Ok(container) = self.container(name, address)
                && let Some(uri) = BlobUri::under(&container.endpoint, &container.account, url)
            {
                return Ok(Some(uri));
            }
        }
        let created = self.store().list().map_err(|e| e.to_string())?;
        let roots = created.iter().filter(|d| d.kind == DatastoreKind::AzureBlob).map(Datastore::root);
        Ok(roots.into_iter().find_map(|(account, root)| BlobUri::under(&root, &account, url)))
    }

    /// Checks whether the credentials of a blob may be sent to its host. `kept_for` is the endpoint for which the user
    /// stored them.
    fn may_receive(&self, uri: &BlobUri, opens: Option<&Credential>, kept_for: Option<&str>) -> Result<(), String> {
        let host = Host::of(&uri.endpoint).ok_or_else(|| format!("'{}' has no valid host", uri.endpoint))?;
        // Without TLS, no Entra ID token is sent to another machine, so there is nothing to protect.
        let nothing = !self.opens || opens.is_none() && uri.endpoint.starts_with("http://");
        let own = self.connection("BlobEndpoint").is_some_and(|root| root.trim_end_matches('/') == uri.endpoint);
        if nothing || own || is_azures(&host) || host.is_loopback || kept_for == Some(uri.endpoint.as_str()) {
            return Ok(());
        }
        let host = host.shown;
        if self.config.user.trusts_host(&host) {
            return Ok(());
        }
        let what = if opens.is_some() { "credentials for" } else { "your sign-in for" };
        Err(format!(
            "{what} the account '{}' cannot be sent to {host}, a host set by the project: if you trust it, add \
            trusted_hosts = [\"{host}\"] to {}",
            uri.account,
            self.config.user.shown()
        ))
    }

    /// Whether a blob is at one of Azure's hosts, or under an endpoint that was configured here.
    fn is_trusted(&self, uri: &BlobUri) -> Result<bool, String> {
        if Host::of(&uri.endpoint).is_some_and(|host| is_azures(&host)) {
            return Ok(true);
        }
        Ok(self.known_blob(&uri.address())?.is_some_and(|known| known.endpoint == uri.endpoint))
    }

    /// The container that `[datastores.<name>]` names. Its host may be one of Azure's, that of an account in
    /// `amlrun.toml`, or an IP address or `localhost`. With the latter, the account is the first part of the path, as
    /// in Azurite.
    pub(crate) fn container(&self, name: &str, address: &str) -> Result<BlobUri, String> {
        let wrong = || {
            format!(
                "datastores.{name}.container in amlrun.toml is '{address}', which is not the URL of a container: use \
                https://<account>.blob.core.windows.net/<container>"
            )
        };
        let mut accounts = self.config.accounts.iter().filter_map(|(name, r)| Some((name, r.endpoint.as_ref()?)));
        if let Some(uri) = accounts.find_map(|(account, root)| BlobUri::under(root, account, address)) {
            return Ok(uri);
        }
        match DataUri::parse(address) {
            Some(Ok(DataUri::Blob(uri))) => Ok(uri),
            Some(Ok(DataUri::Web { url })) => {
                let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
                let (host, path) = rest.split_once('/').ok_or_else(wrong)?;
                let account = path.split('/').next().filter(|_| is_bare_host(host)).ok_or_else(wrong)?;
                BlobUri::under(&format!("{scheme}://{host}/{account}"), account, &url).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }

    /// The blob under the endpoint that `[accounts.<account>]` sets for its account.
    fn rerouted(&self, mut uri: BlobUri) -> BlobUri {
        if let Some(endpoint) = self.config.accounts.get(&uri.account).and_then(|rules| rules.endpoint.clone()) {
            uri.endpoint = endpoint;
        }
        uri
    }

    /// The credentials of a container: those of the datastores in it, or else those of its account. Also returns the
    /// endpoint for which the user stored them.
    fn of_container(&self, uri: &BlobUri) -> Result<(Option<Credential>, Option<String>), String> {
        let same = |account: &str, container: &str| account == uri.account && container == uri.container;
        for (name, rules) in &self.config.datastores {
            if let (Some(DatastorePlace::Container(address)), Some(reference)) = (&rules.place, &rules.credential)
                && let Ok(container) = self.container(name, address).map(|container| self.rerouted(container))
                && same(&container.account, &container.container)
                && container.endpoint == uri.endpoint
            {
                return Ok((Some(self.referred(reference, &format!("datastores.{name}"))?), None));
            }
        }
        for created in self.store().list().map_err(|e| e.to_string())? {
            // The same names at another host mean another account.
            let here = same(&created.account_name, &created.container_name) && self.reached(&created) == uri.endpoint;
            if created.kind == DatastoreKind::AzureBlob
                && here
                && let Some(credential) = self.kept(&created)?
            {
                return Ok((Some(credential), Some(created.root().1)));
            }
        }
        Ok((self.of_account(&uri.account)?, None))
    }

    /// The endpoint of a datastore.
    fn reached(&self, created: &Datastore) -> String {
        let (account, root) = created.root();
        self.config.accounts.get(&account).and_then(|rules| rules.endpoint.clone()).unwrap_or(root)
    }

    fn of_account(&self, account: &str) -> Result<Option<Credential>, String> {
        let reference = self.config.accounts.get(account).and_then(|rules| rules.credential.as_ref());
        reference.map(|reference| self.referred(reference, &format!("accounts.{account}"))).transpose()
    }

    fn referred(&self, reference: &CredentialRef, table: &str) -> Result<Credential, String> {
        if !self.opens {
            return Ok(Credential::Identity);
        }
        reference.read(table, self.config.folder(), &*self.variable, &self.config.user)
    }

    /// The credentials with which a datastore was created.
    fn kept(&self, created: &Datastore) -> Result<Option<Credential>, String> {
        if created.credential == CredentialKind::None || !self.opens {
            return Ok(None);
        }
        (self.credentials)()?.get(self.home.root(), &created.name).map_err(|e| e.to_string())
    }

    /// The credentials of an account from `az`'s environment variables. `None` if they name another account.
    fn of_environment(&self, account: &str) -> Option<Credential> {
        let variable = |name: &str| (self.variable)(name);
        if variable("AZURE_STORAGE_ACCOUNT").is_some_and(|named| named == account) {
            if let Some(token) = variable("AZURE_STORAGE_SAS_TOKEN") {
                return Some(Credential::Sas(Secret::new(token.trim_start_matches('?'))));
            }
            if let Some(key) = variable("AZURE_STORAGE_KEY") {
                return Some(Credential::AccountKey(Secret::new(key)));
            }
        }
        if self.connection("AccountName").as_deref() != Some(account) {
            return None;
        }
        let key = self.connection("AccountKey").map(|key| Credential::AccountKey(Secret::new(key)));
        let token = || self.connection("SharedAccessSignature");
        key.or_else(|| Some(Credential::Sas(Secret::new(token()?.trim_start_matches('?')))))
    }

    /// A field of the connection string in the environment, in the format of emulators and `az`.
    fn connection(&self, name: &str) -> Option<String> {
        let text = (self.variable)("AZURE_STORAGE_CONNECTION_STRING")?;
        let mut pairs = text.split(';').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?.1.trim();
        (!found.is_empty()).then(|| found.to_owned())
    }
}

fn is_azures(host: &Host) -> bool {
    CLOUDS.iter().any(|cloud| host.name.ends_with(cloud))
}
