//! Addresses of data: every form in which a path can name something that is no local file (reference, section 3.2).
//!
//! Pure text: whether anything is there, and who may read it, is not checked.

use std::fmt;

use crate::secret::Secret;

/// An address of data, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataUri {
    /// `azureml://[…/]datastores/<name>/paths/<path>`.
    Datastore {
        /// The datastore's name.
        name: String,
        /// The path in it; empty for all of it.
        path: String,
    },
    /// `azureml://jobs/<job>/outputs/<output>[/paths/<path>]`.
    JobOutput {
        /// The job: a run, or a step of one.
        job: String,
        /// Its output; `artifacts` and `default` are what every job leaves.
        output: String,
        /// The path in it.
        path: String,
    },
    /// `runs:/<run>/<path>`: an artifact of an MLflow run.
    RunArtifact {
        /// The MLflow run.
        run: String,
        /// The path among its artifacts.
        path: String,
    },
    /// `models:/<name>/<version or stage>[/<path>]` or `models:/<name>@<alias>`: a model of MLflow's registry.
    Model {
        /// The model's name.
        name: String,
        /// A version, a stage, or `@` and an alias; `latest` is the newest.
        version: String,
        /// The path in it.
        path: String,
    },
    /// A blob, or all blobs under a path.
    Blob(BlobUri),
    /// Anything else at an `http` or `https` address, query included.
    Web {
        /// The whole address.
        url: String,
    },
}

/// A place in Azure Blob Storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobUri {
    /// The storage account.
    pub account: String,
    /// The root of its blob service, without a slash at the end: `https://<account>.blob.core.windows.net`.
    pub endpoint: String,
    /// The container.
    pub container: String,
    /// The path in it, not escaped; empty for all of it.
    pub path: String,
    /// A shared access signature, without the question mark.
    pub sas: Option<Secret>,
}

impl DataUri {
    /// Reads an address. `None` for what is no address: a local path, or an asset `azureml:name:version`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the address or cannot be read from here.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        if let Some(rest) = text.strip_prefix("runs:/") {
            return Some(run_artifact(rest));
        }
        if let Some(rest) = text.strip_prefix("models:/") {
            return Some(model(rest));
        }
        let (scheme, rest) = text.split_once("://")?;
        Some(match scheme.to_ascii_lowercase().as_str() {
            "azureml" => azureml(rest),
            // The text before an '@' looks like a host to people who decide whether to trust it.
            "http" | "https" if rest.split(['/', '?', '#']).next().is_some_and(|host| !is_host(host)) => Err(format!(
                "'{scheme}://…' has no valid host: use a host name and an optional port, without user or password"
            )),
            "http" | "https" => Ok(web(text)),
            "wasb" | "wasbs" | "abfs" | "abfss" => hadoop(scheme, rest),
            "file" => return None,
            other => Err(format!("'{other}://' is not supported: use https, wasbs, abfss, azureml, runs: or models:")),
        })
    }
}

impl BlobUri {
    /// Its address without any credential: the name by which it is known from run to run.
    #[must_use]
    pub fn address(&self) -> String {
        let slash = if self.path.is_empty() { "" } else { "/" };
        format!("{}/{}{slash}{}", self.endpoint, self.container, escape(&self.path))
    }

    /// Reads a blob address under a root that is known already: what Azurite and private hosts have.
    #[must_use]
    pub fn under(endpoint: &str, account: &str, url: &str) -> Option<Self> {
        let rest = url.strip_prefix(endpoint)?.strip_prefix('/')?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (container, path) = path.split_once('/').unwrap_or((path, ""));
        (!container.is_empty()).then(|| Self {
            account: account.to_owned(),
            endpoint: endpoint.to_owned(),
            container: container.to_owned(),
            path: unescape(path),
            sas: sas(query),
        })
    }
}

/// The address without what is secret in it.
impl fmt::Display for DataUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datastore { name, path } => write!(f, "azureml://datastores/{name}/paths/{path}"),
            Self::JobOutput { job, output, path } if path.is_empty() => {
                write!(f, "azureml://jobs/{job}/outputs/{output}")
            }
            Self::JobOutput { job, output, path } => write!(f, "azureml://jobs/{job}/outputs/{output}/paths/{path}"),
            Self::RunArtifact { run, path } => write!(f, "runs:/{run}/{path}"),
            Self::Model { name, version, path } => {
                let slash = if version.starts_with('@') { "" } else { "/" };
                let rest = if path.is_empty() { String::new() } else { format!("/{path}") };
                write!(f, "models:/{name}{slash}{version}{rest}")
            }
            Self::Blob(blob) => f.write_str(&blob.address()),
            Self::Web { url } => {
                let mut url = url.clone();
                crate::secret::mask_signatures(&mut url);
                f.write_str(&url)
            }
        }
    }
}

fn run_artifact(rest: &str) -> Result<DataUri, String> {
    let (run, path) = rest.trim_start_matches('/').split_once('/').unwrap_or((rest, ""));
    if run.is_empty() {
        return Err(format!("'runs:/{rest}' has no run: use runs:/<run>/<path>"));
    }
    Ok(DataUri::RunArtifact { run: run.to_owned(), path: inside(path)? })
}

fn model(rest: &str) -> Result<DataUri, String> {
    let rest = rest.trim_start_matches('/');
    let (name, version, path) = if let Some((name, alias)) = rest.split_once('@') {
        (name, format!("@{}", alias.trim_end_matches('/')), "")
    } else {
        let mut parts = rest.splitn(3, '/');
        (parts.next().unwrap_or(""), parts.next().unwrap_or("").to_owned(), parts.next().unwrap_or(""))
    };
    if name.is_empty() || version.is_empty() || version == "@" {
        return Err(format!("'models:/{rest}' has no version: use models:/<name>/<version> or models:/<name>@<alias>"));
    }
    Ok(DataUri::Model { name: name.to_owned(), version, path: inside(path)? })
}

/// What follows `azureml://`: short, or with the workspace before it.
fn azureml(rest: &str) -> Result<DataUri, String> {
    let of = |word: &str| {
        let at = if rest.starts_with(word) { Some(0) } else { rest.find(&format!("/{word}")).map(|at| at + 1) };
        at.map(|at| &rest[at + word.len()..])
    };
    let whole = || format!("'azureml://{rest}'");
    if rest.starts_with("registries/") {
        return Err(format!("{} is in an Azure ML registry, which amlrun cannot read", whole()));
    }
    if let Some(rest) = of("datastores/") {
        let (name, path) = rest.split_once("/paths/").unwrap_or((rest.trim_end_matches("/paths"), ""));
        if name.is_empty() || name.contains('/') {
            return Err(format!("{} is not a datastore path: use azureml://datastores/<name>/paths/<path>", whole()));
        }
        return Ok(DataUri::Datastore { name: name.to_owned(), path: inside(path)? });
    }
    if let Some(rest) = of("jobs/")
        && let Some((job, rest)) = rest.split_once("/outputs/")
    {
        let (output, path) = rest.split_once("/paths/").unwrap_or((rest.trim_end_matches('/'), ""));
        if !job.is_empty() && !output.is_empty() && !output.contains('/') {
            let (job, output) = (job.to_owned(), output.to_owned());
            return Ok(DataUri::JobOutput { job, output, path: inside(path)? });
        }
    }
    Err(format!(
        "{} is neither a datastore path (azureml://datastores/<name>/paths/<path>) nor a job output \
        (azureml://jobs/<job>/outputs/<output>)",
        whole()
    ))
}

/// `wasbs://<container>@<account>.blob.<suffix>/<path>`, and the same with `abfss` and `dfs`.
fn hadoop(scheme: &str, rest: &str) -> Result<DataUri, String> {
    let example = "wasbs://<container>@<account>.blob.core.windows.net/<path>";
    let wrong = || format!("'{scheme}://{rest}' is not the URL of a blob: use {example}");
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (container, host) = place.split_once('@').ok_or_else(wrong)?;
    let (account, endpoint) = blob_host(host).ok_or_else(wrong)?;
    if container.is_empty() || !is_host(host) {
        return Err(wrong());
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let endpoint = format!("https://{endpoint}");
    // These addresses are not escaped: the text is the blob's name.
    let path = inside(path)?;
    Ok(DataUri::Blob(BlobUri { account, endpoint, container: container.to_owned(), path, sas: sas(query) }))
}

/// An `http(s)` address: a blob's, when the host is one of Azure's storage hosts.
fn web(url: &str) -> DataUri {
    let web = || DataUri::Web { url: url.to_owned() };
    let Some((scheme, rest)) = url.split_once("://") else { return web() };
    let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
    let (name, port) = host.split_once(':').map_or((host, String::new()), |(name, port)| (name, format!(":{port}")));
    let port = if port == ":443" { String::new() } else { port };
    let Some((account, endpoint)) = blob_host(name) else { return web() };
    let found = url[scheme.len() + 3 + host.len()..].to_owned();
    let endpoint = format!("{}://{endpoint}{port}", scheme.to_ascii_lowercase());
    BlobUri::under(&endpoint, &account, &format!("{endpoint}{found}")).map_or_else(web, DataUri::Blob)
}

/// The account and the blob host of `<account>.blob.core.…` or `<account>[.z<number>].blob.storage.azure.net`, and of the
/// same hosts with `dfs`, which show the same bytes.
fn blob_host(host: &str) -> Option<(String, String)> {
    let host = host.to_ascii_lowercase();
    if !host.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-') {
        return None;
    }
    let (front, suffix) = host.split_once(".blob.").or_else(|| host.split_once(".dfs."))?;
    let known = suffix.starts_with("core.") || suffix == "storage.azure.net" || suffix.starts_with("fabric.microsoft");
    let account = front.split('.').next().filter(|account| !account.is_empty())?;
    known.then(|| (account.to_owned(), format!("{front}.blob.{suffix}")))
}

/// Whether a text is a host's name or address, perhaps with a port, and nothing else.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || ".-_:[]".contains(c))
}

/// A shared access signature; other queries (`?snapshot=`) are none.
fn sas(query: &str) -> Option<Secret> {
    query.split('&').any(|pair| pair.starts_with("sig=")).then(|| Secret::new(query))
}

/// A path that stays inside of what it is in, without slashes at its start.
fn inside(path: &str) -> Result<String, String> {
    if path.split('/').any(|part| part == "..") {
        return Err(format!("'{path}' points outside its location: use a path without '..'"));
    }
    Ok(path.trim_start_matches('/').to_owned())
}

/// A name as part of an address, which is decoded to the same name. Characters that are safe in every address are
/// unchanged.
#[must_use]
pub fn escape(name: &str) -> String {
    name.replace('%', "%25").replace('?', "%3F").replace('#', "%23")
}

fn unescape(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match DataUri::parse(text) {
            None => "none".to_owned(),
            Some(Err(why)) => format!("error: {why}"),
            Some(Ok(uri)) => uri.to_string(),
        }
    }

    #[test]
    fn every_form_is_read() {
        let long = "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/a/b.csv";
        assert_eq!(read(long), "azureml://datastores/d/paths/a/b.csv");
        assert_eq!(read("azureml://datastores/d/paths/"), "azureml://datastores/d/paths/");
        assert_eq!(read("azureml://jobs/j/outputs/o/paths/p/q"), "azureml://jobs/j/outputs/o/paths/p/q");
        assert_eq!(read("azureml://jobs/j/outputs/o"), "azureml://jobs/j/outputs/o");
        assert_eq!(read("runs:/abc/model/MLmodel"), "runs:/abc/model/MLmodel");
        assert_eq!(read("models:/m/3"), "models:/m/3");
        assert_eq!(read("models:/m@champion"), "models:/m@champion");
        assert_eq!(read("wasbs://c@a.blob.core.windows.net/x y/z%"), "https://a.blob.core.windows.net/c/x y/z%25");
        assert_eq!(read("abfss://c@a.dfs.core.windows.net/x"), "https://a.blob.core.windows.net/c/x");
        assert_eq!(read("https://a.blob.core.windows.net:443/c/x%20y"), "https://a.blob.core.windows.net/c/x y");
        assert_eq!(read("https://a.z12.blob.storage.azure.net/c/x"), "https://a.z12.blob.storage.azure.net/c/x");
        assert_eq!(read("https://example.com/a.csv?x=1"), "https://example.com/a.csv?x=1");
        assert_eq!(read("http://127.0.0.1:10000/a/c/x"), "http://127.0.0.1:10000/a/c/x");
        for local in ["data/x.csv", "azureml:data:3", "azureml:data@latest", "/abs/x"] {
            assert_eq!(read(local), "none");
        }
        for (wrong, word) in [
            ("azureml://registries/r/data/d/versions/1", "registry"),
            ("azureml://datastores/d/paths/../x", "points outside"),
            ("s3://bucket/x", "s3://"),
            ("runs:/", "has no run"),
            ("models:/m", "has no version"),
            ("wasbs://a.blob.core.windows.net/x", "not the URL of a blob"),
            ("wasbs://c@a.blob.core.windows.net:x@evil.org/x", "not the URL of a blob"),
            ("https://a.blob.core.windows.net:x@evil.org/c/x", "no valid host"),
            ("https://a.blob.core.windows.net\\@evil.org/c/x", "no valid host"),
        ] {
            assert!(read(wrong).starts_with("error: ") && read(wrong).contains(word), "{}", read(wrong));
        }
    }

    #[test]
    fn a_signature_is_kept_apart_from_the_address() {
        let text = "https://a.blob.core.windows.net/c/x.csv?sv=1&sig=s%3D";
        let Some(Ok(DataUri::Blob(blob))) = DataUri::parse(text) else { panic!("{text}") };
        assert_eq!(blob.address(), "https://a.blob.core.windows.net/c/x.csv");
        assert_eq!(blob.sas.as_ref().map(Secret::reveal), Some("sv=1&sig=s%3D"));
        assert!(!format!("{blob:?}").contains("s%3D"));
        let web = DataUri::Web { url: "https://x/y?sig=abc".into() };
        assert!(!web.to_string().contains("abc"));
    }

    #[test]
    fn an_address_without_its_signature_is_read_as_the_same_place() {
        for text in ["wasbs://c@a.blob.core.windows.net/x%20 y?#ü", "https://a.blob.core.windows.net/c/a%2520b?sig=x"]
        {
            let Some(Ok(DataUri::Blob(blob))) = DataUri::parse(text) else { panic!("{text}") };
            let again = DataUri::parse(&blob.address());
            assert_eq!(again, Some(Ok(DataUri::Blob(BlobUri { sas: None, ..blob }))));
        }
    }

    #[test]
    fn a_known_root_makes_an_address_a_blobs() {
        let root = "http://127.0.0.1:10000/devstoreaccount1";
        let blob = BlobUri::under(root, "devstoreaccount1", &format!("{root}/c/a%25b/x?sv=1&sig=q")).unwrap();
        assert_eq!((blob.container.as_str(), blob.path.as_str()), ("c", "a%b/x"));
        assert_eq!(BlobUri::under(root, "devstoreaccount1", "http://127.0.0.1:10000/other/c"), None);
    }
}
