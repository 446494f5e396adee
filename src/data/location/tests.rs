//! Tests of address resolution, with a workspace on disk, a credentials file of the test, and a fixed environment.

use super::*;
use crate::config::user::UserConfig;
use crate::digest::Digest;
use crate::registry::datastore::CredentialKind;
use crate::registry::{AssetType, NewAsset, Registry};
use crate::secret::Secret;
use crate::spec::asset_ref::AssetRef;
use crate::spec::io::PortType;

struct Here {
    folder: tempfile::TempDir,
    places: Places,
}

impl Here {
    /// A workspace with that `amlrun.toml` and these variables.
    fn new(toml: &str, variables: &'static [(&'static str, &'static str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("amlrun.toml"), toml).unwrap();
        let Ok(config) = Config::near(folder.path()) else { panic!("amlrun.toml is refused") };
        let home = Home::locate(None, folder.path());
        home.create().unwrap();
        let mut places = Places::new(home, &config);
        places.config.user = UserConfig::default();
        places.variable =
            Box::new(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()));
        let file = folder.path().join("credentials.json");
        places.credentials = Box::new(move || Ok(Credentials::at(file.clone())));
        Self { folder, places }
    }

    /// Makes the user trust a host.
    fn trusting(mut self, host: &str) -> Self {
        self.places.config.user.trusted_hosts.push(host.to_owned());
        self
    }

    /// Creates a datastore in the container `box` of `acc`.
    fn created(self, name: &str, kind: DatastoreKind, credential: Option<Credential>) -> Self {
        let mut datastore = Datastore::new(name, kind, "acc", "box");
        if let Some(credential) = credential {
            datastore.credential = match &credential {
                Credential::Sas(_) => CredentialKind::Sas,
                _ => CredentialKind::AccountKey,
            };
            let kept = (self.places.credentials)().unwrap();
            kept.put(self.places.home.root(), name, &credential).unwrap();
        }
        self.places.store().put(&datastore).unwrap();
        self
    }

    fn resolve(&self, address: &str) -> Result<Place, String> {
        self.places.resolve(&DataUri::parse(address).unwrap().unwrap())
    }

    /// The resolved address as text. For blobs: the address, a space, and the credentials.
    fn leads(&self, address: &str) -> String {
        match self.resolve(address) {
            Ok(Place::Local(path)) => path.strip_prefix(self.folder.path()).unwrap_or(&path).display().to_string(),
            Ok(Place::Blob { uri, credential }) => {
                assert_eq!(uri.sas, None);
                let opened = match credential {
                    Credential::AccountKey(key) => format!("key {}", key.reveal()),
                    Credential::Sas(token) => format!("sas {}", token.reveal()),
                    Credential::Identity => "identity".to_owned(),
                };
                format!("{} {opened}", uri.address())
            }
            Ok(Place::Web { url }) => url,
            Err(why) => format!("error: {why}"),
        }
    }
}

fn sas(text: &str) -> Option<Credential> {
    Some(Credential::Sas(Secret::new(text)))
}

const BOX: &str = "https://acc.blob.core.windows.net/box";

#[test]
fn the_file_is_asked_before_what_was_created_and_that_before_the_workspaces_own() {
    let at = |name: &str| format!("azureml://datastores/{name}/paths/a/b.csv");
    let here = Here::new("[datastores.mine]\nfolder = \"samples\"\n", &[])
        .created("mine", DatastoreKind::AzureBlob, None)
        .created("workspaceblobstore", DatastoreKind::AzureBlob, None);
    assert_eq!(here.leads(&at("mine")), "samples/a/b.csv");
    assert_eq!(here.leads("azureml://datastores/mine/paths/"), "samples");
    assert_eq!(here.leads(&at("workspaceblobstore")), format!("{BOX}/a/b.csv identity"));
    assert_eq!(here.leads(&at("workspacefilestore")), ".amlrun/datastores/workspacefilestore/a/b.csv");
    let unknown = here.leads(&at("workspaceblobstor"));
    assert!(unknown.contains("did you mean 'workspaceblobstore'?"), "{unknown}");
    assert!(unknown.contains("[datastores.workspaceblobstor]") && unknown.contains("datastore create"), "{unknown}");
    assert!(here.leads(&at("zzz")).contains("'zzz' was not found: map it with"));
}

#[test]
fn storage_that_is_not_read_is_named() {
    for (kind, words) in [
        (DatastoreKind::AzureFile, "an Azure file share"),
        (DatastoreKind::AzureDataLakeGen2, "Gen2"),
        (DatastoreKind::AzureDataLakeGen1, "Gen1"),
        (DatastoreKind::OneLake, "OneLake"),
    ] {
        let said = Here::new("", &[]).created("x", kind, None).leads("azureml://datastores/x/paths/a");
        assert!(said.contains(words) && said.contains("[datastores.x] folder = "), "{said}");
    }
}

#[test]
fn a_container_of_the_file_may_have_a_path_and_lie_anywhere() {
    let toml = "[datastores.cloud]\ncontainer = \"https://acc.blob.core.windows.net/box/v2\"\n\
        [datastores.emulated]\ncontainer = \"http://127.0.0.1:10000/devstoreaccount1/box\"\n\
        [datastores.lan]\ncontainer = \"https://storage.lan/acc2/box\"\n\
        [datastores.odd]\ncontainer = \"https://example.com/box\"\n\
        [accounts.acc2]\nendpoint = \"https://storage.lan/acc2\"\n";
    let here = Here::new(toml, &[]).trusting("storage.lan");
    assert_eq!(here.leads("azureml://datastores/cloud/paths/a"), format!("{BOX}/v2/a identity"));
    assert_eq!(here.leads("azureml://datastores/cloud"), format!("{BOX}/v2 identity"));
    let emulated = "http://127.0.0.1:10000/devstoreaccount1/box/a identity";
    assert_eq!(here.leads("azureml://datastores/emulated/paths/a"), emulated);
    assert_eq!(here.leads("http://127.0.0.1:10000/devstoreaccount1/box/a"), emulated, "a known root");
    assert_eq!(here.leads("azureml://datastores/lan/paths/a"), "https://storage.lan/acc2/box/a identity");
    assert!(here.leads("azureml://datastores/odd/paths/a").contains("datastores.odd.container"));
    assert_eq!(here.leads("http://127.0.0.1:10000/other/box/a"), "http://127.0.0.1:10000/other/box/a");
}

#[test]
fn an_account_is_reached_where_the_file_says() {
    let here = Here::new("[accounts.acc]\nendpoint = \"http://127.0.0.1:1/acc\"\n", &[]).created(
        "d",
        DatastoreKind::AzureBlob,
        sas("sig=kept"),
    );
    let there = "http://127.0.0.1:1/acc/box/a sas sig=kept";
    assert_eq!(here.leads("azureml://datastores/d/paths/a"), there);
    assert_eq!(here.leads("wasbs://box@acc.blob.core.windows.net/a"), there);
    assert_eq!(here.leads("http://127.0.0.1:1/acc/box/a"), there);
    assert_eq!(here.leads("wasbs://other@acc.blob.core.windows.net/a"), "http://127.0.0.1:1/acc/other/a identity");
}

#[test]
fn what_opens_a_blob_is_asked_in_order() {
    const ENVIRONMENT: &[(&str, &str)] =
        &[("AZURE_STORAGE_ACCOUNT", "acc"), ("AZURE_STORAGE_KEY", "env"), ("A", "table"), ("B", "account")];
    let both = "[datastores.d]\nsas_token = { env = \"A\" }\n[accounts.acc]\naccount_key = { env = \"B\" }\n";
    let by_name = "azureml://datastores/d/paths/a";
    let leads = |toml: &str, kept: Option<Credential>, address: &str| {
        Here::new(toml, ENVIRONMENT).created("d", DatastoreKind::AzureBlob, kept).leads(address)
    };
    let opened = |what: &str| format!("{BOX}/a {what}");
    assert_eq!(leads(both, sas("sig=kept"), &format!("{BOX}/a?sig=own")), opened("sas sig=own"));
    assert_eq!(leads(both, sas("sig=kept"), by_name), opened("sas table"));
    let account = both.split_once("[accounts").map(|(_, rest)| format!("[accounts{rest}")).unwrap();
    assert_eq!(leads(&account, sas("sig=kept"), by_name), opened("sas sig=kept"));
    assert_eq!(leads(&account, sas("sig=kept"), &format!("{BOX}/a")), opened("sas sig=kept"));
    assert_eq!(leads(&account, None, by_name), opened("key account"));
    assert_eq!(leads(&account, None, &format!("{BOX}/a")), opened("key account"));
    assert_eq!(leads("", sas("sig=kept"), by_name), opened("sas sig=kept"));
    assert_eq!(leads("", sas("sig=kept"), &format!("{BOX}/a")), opened("sas sig=kept"));
    assert_eq!(leads("", None, by_name), opened("key env"));
    assert_eq!(leads("", None, &format!("{BOX}/a")), opened("key env"));
    let mapped = "[datastores.m]\ncontainer = \"https://acc.blob.core.windows.net/box\"\nsas_token = { env = \"A\" }\n";
    assert_eq!(leads(mapped, None, &format!("{BOX}/a")), opened("sas table"), "by its container");
}

#[test]
fn the_environment_is_read_as_az_reads_it() {
    let with = |variables| Here::new("", variables).leads(&format!("{BOX}/a")).replace(&format!("{BOX}/a "), "");
    assert_eq!(with(&[]), "identity");
    let both = [("AZURE_STORAGE_ACCOUNT", "acc"), ("AZURE_STORAGE_SAS_TOKEN", "?sig=x"), ("AZURE_STORAGE_KEY", "k")];
    assert_eq!(with(Vec::leak(both.to_vec())), "sas sig=x");
    assert_eq!(with(&[("AZURE_STORAGE_KEY", "k")]), "identity", "for an account that nobody named");
    assert_eq!(with(&[("AZURE_STORAGE_KEY", "k"), ("AZURE_STORAGE_ACCOUNT", "acc")]), "key k");
    assert_eq!(with(&[("AZURE_STORAGE_KEY", "k"), ("AZURE_STORAGE_ACCOUNT", "other")]), "identity");
    assert_eq!(with(&[("AZURE_STORAGE_SAS_TOKEN", "s"), ("AZURE_STORAGE_ACCOUNT", "other")]), "identity");
    let text = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a+b==;EndpointSuffix=core.windows.net";
    assert_eq!(with(Vec::leak(vec![("AZURE_STORAGE_CONNECTION_STRING", text)])), "key a+b==");
    assert_eq!(with(&[("AZURE_STORAGE_CONNECTION_STRING", "AccountName=other;AccountKey=k")]), "identity");
    assert_eq!(
        with(&[("AZURE_STORAGE_CONNECTION_STRING", "AccountName=acc;SharedAccessSignature=sig=x")]),
        "sas sig=x"
    );
}

#[test]
fn the_emulator_of_a_connection_string_is_known() {
    const TEXT: &str =
        "DefaultEndpointsProtocol=http;AccountName=dev;AccountKey=k==;BlobEndpoint=http://127.0.0.1:1/dev/;";
    let here = Here::new("", &[("AZURE_STORAGE_CONNECTION_STRING", TEXT)]);
    assert_eq!(here.leads("http://127.0.0.1:1/dev/box/a"), "http://127.0.0.1:1/dev/box/a key k==");
    assert_eq!(here.leads("http://127.0.0.1:1/other/box/a"), "http://127.0.0.1:1/other/box/a");
}

#[test]
fn a_secret_that_is_not_there_is_told_when_it_is_needed() {
    let toml = "[datastores.d]\ncontainer = \"https://acc.blob.core.windows.net/box\"\naccount_key = { env = \"NONE\" }\n\
        [datastores.local]\nfolder = \"x\"\n";
    let here = Here::new(toml, &[]);
    assert_eq!(here.leads("azureml://datastores/local/paths/a"), "x/a");
    let said = here.leads("azureml://datastores/d/paths/a");
    assert!(said.contains("datastores.d.account_key") && said.contains("variable NONE"), "{said}");
    let here = Here::new("", &[]).created("kept", DatastoreKind::AzureBlob, sas("sig=x"));
    let kept = (here.places.credentials)().unwrap();
    kept.remove(here.places.home.root(), "kept").unwrap();
    let said = here.leads("azureml://datastores/kept/paths/a");
    assert!(said.contains("created with a SAS") && said.contains("create it again"), "{said}");
    assert_eq!(here.leads(&format!("{BOX}/a")), format!("{BOX}/a identity"));
}

#[test]
fn nothing_is_told_to_a_host_that_nobody_named() {
    const VARIABLES: &[(&str, &str)] =
        &[("AZURE_STORAGE_ACCOUNT", "acc"), ("AZURE_STORAGE_SAS_TOKEN", "sig=env"), ("K", "key")];
    let strange = "https://acc.blob.core.example.com/box/a";
    let toml = "[datastores.m]\ncontainer = \"https://acc.blob.core.windows.net/box\"\naccount_key = { env = \"K\" }\n";
    for address in [strange, "wasbs://box@acc.blob.core.example.com/a"] {
        let said = Here::new(toml, VARIABLES).leads(address);
        assert!(said.contains("does not belong to Azure") && said.contains("[accounts.acc] endpoint = "), "{said}");
    }
    let own = Here::new(toml, VARIABLES).leads(&format!("{strange}?sig=own"));
    assert_eq!(own, format!("{strange} sas sig=own"));
    let named = "[accounts.acc]\nendpoint = \"https://acc.blob.core.example.com\"\n";
    let trusted = Here::new(named, VARIABLES).trusting("acc.blob.core.example.com");
    assert_eq!(trusted.leads(strange), format!("{strange} sas sig=env"));
    let said = Here::new(named, VARIABLES).leads(strange);
    assert!(
        said.contains("cannot be sent to acc.blob.core.example.com") && said.contains("trusted_hosts = "),
        "{said}"
    );
    for cloud in ["core.chinacloudapi.cn", "core.usgovcloudapi.net"] {
        let address = format!("https://acc.blob.{cloud}/box/a");
        assert_eq!(Here::new("", VARIABLES).leads(&address), format!("{address} sas sig=env"));
    }
}

#[test]
fn a_project_does_not_say_who_gets_a_secret() {
    const VARIABLES: &[(&str, &str)] = &[("AWS_SECRET_ACCESS_KEY", "topsecret")];
    let named = |endpoint: &str, kept: Option<Credential>| {
        let toml = format!("[accounts.acc]\nendpoint = \"{endpoint}\"\n");
        let opened = toml.clone() + "sas_token = { env = \"AWS_SECRET_ACCESS_KEY\" }\n";
        let kept_here = Here::new(&toml, &[]).created("d", DatastoreKind::AzureBlob, kept);
        [Here::new(&opened, VARIABLES).leads(&format!("{BOX}/a")), kept_here.leads("azureml://datastores/d/paths/a")]
    };
    for foreign in ["https://evil.example/acc", "http://10.0.0.1:10000/acc", "https://localhost.evil.example/acc"] {
        for said in named(foreign, sas("sig=kept")) {
            assert!(said.contains("cannot be sent to") && !said.contains("topsecret"), "{foreign}: {said}");
        }
        // The host gets no token of Entra ID either, because tokens are sent over TLS only.
        let said = &named(foreign, None)[1];
        assert_eq!(said.contains("your sign-in"), foreign.starts_with("https"), "{foreign}: {said}");
    }
    for own in
        ["http://127.0.0.1:1/acc", "http://localhost:1/acc", "http://[::1]:1/acc", "https://acc.blob.core.windows.net"]
    {
        let [named, kept] = named(own, sas("sig=kept"));
        assert!(named.ends_with("sas topsecret") && kept.ends_with("sas sig=kept"), "{own}: {named} {kept}");
    }
}

#[test]
fn assets_lead_to_bytes_here_or_to_an_address() {
    let here = Here::new("", &[]);
    let find = |text: &str| here.places.asset(&AssetRef::parse(text).unwrap(), PortType::UriFolder);
    assert!(find("d:1").unwrap_err().contains("the asset 'd:1' is not registered"));
    let registry = Registry::open(&here.places.home.registry_db()).unwrap();
    let local = here.folder.path().join("bytes");
    std::fs::write(&local, "").unwrap();
    registry.register(NewAsset::new("d", AssetType::UriFile, local.clone(), Digest::of(b""), 0)).unwrap();
    let address = "azureml://datastores/workspaceblobstore/paths/x";
    registry.register(NewAsset::at_address("d", AssetType::UriFolder, address).unwrap()).unwrap();
    let found = find("d:1").unwrap();
    assert_eq!((found.kind, found.place, found.address), (PortType::UriFile, Place::Local(local), None));
    let found = find("d@latest").unwrap();
    assert_eq!((found.id.as_str(), found.address.as_deref()), ("d:2", Some(address)));
    assert_eq!(found.place, Place::Local(here.places.home.datastore("workspaceblobstore").join("x")));
    assert!(find("d").unwrap_err().contains("needs a version"));
    let refused = NewAsset::at_address("d", AssetType::UriFile, "https://a/b?sv=1&sig=topsecret").unwrap_err();
    assert!(refused.to_string().contains("would be stored") && !refused.to_string().contains("topsecret"));
}

#[test]
fn models_are_found_by_version_stage_and_label() {
    let here = Here::new("", &[]);
    let registry = Registry::open(&here.places.home.registry_db()).unwrap();
    for n in 1..=3 {
        let folder = here.folder.path().join(format!("m{n}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("MLmodel"), "").unwrap();
        registry.register(NewAsset::new("m", AssetType::CustomModel, folder, Digest::of(b""), 0)).unwrap();
    }
    registry.set_stage(crate::registry::AssetKind::Model, "m", "1", "Production", false).unwrap();
    registry.set_label(crate::registry::AssetKind::Model, "m", "champion", "2").unwrap();
    for (address, folder) in [
        ("models:/m/2", "m2"),
        ("models:/m/latest", "m3"),
        ("models:/m@latest", "m3"),
        ("models:/m/production", "m1"),
        ("models:/m@champion", "m2"),
        ("models:/m/1/MLmodel", "m1/MLmodel"),
    ] {
        assert_eq!(here.leads(address), folder, "{address}");
    }
    for (address, words) in [
        ("models:/m/Staging", "in the stage Staging"),
        ("models:/m/9", "version 9"),
        ("models:/mm/1", "mm"),
        ("models:/m/1/MLmodle", "did you mean 'MLmodel'?"),
        ("models:/m@loser", "label 'loser'"),
        ("azureml://jobs/none/outputs/o", "the run 'none' was not found"),
        ("runs:/none/a", "the MLflow run 'none' was not found"),
    ] {
        let said = here.leads(address);
        assert!(said.starts_with("error: ") && said.contains(words), "{address}: {said}");
    }
}
