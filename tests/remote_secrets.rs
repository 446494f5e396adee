//! Keys, signatures and tokens open what they are for, and are in nothing that a run keeps or prints.

use crate::azurite::{ACCOUNT, Azurite, KEY};
use crate::cloud::{Cloud, everything, job};
use crate::support::{Project, Ran};

#[test]
fn a_secret_that_is_not_at_hand_is_no_mistake_of_the_file_but_ends_the_run_before_it_begins() {
    let cloud = Cloud::new("nokey");
    let output = "o: {type: uri_file, path: azureml://datastores/credit/paths/o}";
    cloud.project.write("job.yml", &job("echo > ${{outputs.o}}", "n: 1", output));
    cloud.project.amlrun(&["validate", "job.yml"]).ended(0);
    let ran = cloud.project.run("job.yml").ended(1);
    assert!(ran.err.contains("uses the variable BLOB_KEY, which is not set"), "{}", ran.err);
    assert!(!cloud.project.path(".amlrun/runs/r").exists());
}

#[test]
fn no_secret_is_in_what_a_run_keeps_and_prints() {
    let cloud = Cloud::new("secrets");
    cloud.put("d.csv", "data\n");
    let sas = cloud.azurite.sas("secrets", "rl");
    let signature = sas.split("sig=").nth(1).unwrap().to_owned();
    let blob = format!("{}/secrets/d.csv?{sas}", cloud.azurite.url());
    let inputs = format!(
        "key: {{type: uri_file, path: azureml://datastores/credit/paths/d.csv}}
        signed: {{type: uri_file, path: \"{blob}\"}}
        direct: {{type: uri_file, path: \"{blob}\", mode: direct}}"
    );
    let command = "cat ${{inputs.key}} ${{inputs.signed}} && echo got ${{inputs.direct}} && env && cp ${{inputs.key}} ${{outputs.o}}";
    let outputs = "o: {type: uri_file, path: azureml://datastores/credit/paths/out.csv}";
    cloud.project.write("job.yml", &job(command, &inputs, outputs));
    let (ran, _) = cloud.run("r");
    let mut printed = ran.out.clone() + &ran.err;
    ran.ended(0);
    for arguments in
        [&["run", "job.yml"][..], &["plan", "job.yml"], &["why", "r"], &["job", "show", "-n", "r"], &["logs", "r"]]
    {
        let ran = cloud.amlrun(arguments).ended(0);
        printed += &(ran.out + &ran.err);
    }
    let kept = everything(&cloud.project.path(".amlrun"));
    let plain: String = percent_encoding::percent_decode_str(&signature).decode_utf8_lossy().into_owned();
    for (name, secret) in [("the key", KEY), ("the signature", &signature), ("the signature, decoded", &plain)] {
        assert!(!printed.contains(secret), "{name} is in what was printed:\n{printed}");
        assert!(!kept.contains(secret), "{name} is in the workspace");
    }
    assert!(printed.contains("********") && kept.contains("got http"), "the step did get the address");
    assert!(!cloud.project.log("main").contains("BLOB_KEY"), "steps do not get the variables of storage");
    // A run goes on although its signatures are kept nowhere.
    let rerun = cloud.amlrun(&["step", "rerun", "r", "main"]).ended(0);
    assert!(!(rerun.out + &rerun.err).contains(&signature));
}

/// A token as Entra ID makes them, but for the signature, which Azurite does not look at.
fn token() -> String {
    use base64::Engine as _;
    let part = |json: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(
        "{{\"aud\":\"https://storage.azure.com\",\"iss\":\"https://sts.windows.net/00000000-0000-0000-0000-000000000000/\",\
         \"iat\":{now},\"nbf\":{},\"exp\":{}}}",
        now - 60,
        now + 3600
    );
    format!("{}.{}.{}", part("{\"typ\":\"JWT\",\"alg\":\"RS256\"}"), part(&claims), part("topsecretsignature"))
}

#[test]
fn entra_id_opens_what_is_not_public_and_its_token_is_seen_nowhere() {
    let azurite = Azurite::start();
    azurite.container("private");
    azurite.put("private", "d.csv", b"for members\n");
    azurite.stop();
    let certificate = azurite.start_again_secure();
    let token = token();
    let project = Project::new();
    // `az`, as it answers somebody who is signed in.
    let answer = format!(
        "{{\"accessToken\":\"{token}\",\"expiresOn\":\"2099-01-01 00:00:00.000000\",\"expires_on\":4070908800,\
         \"subscription\":\"s\",\"tenant\":\"t\",\"tokenType\":\"Bearer\"}}"
    );
    let signed_in = project.path("bin/az");
    project.write("bin/az", &format!("#!/bin/sh\ncat <<'END'\n{answer}\nEND\n"));
    std::fs::set_permissions(&signed_in, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let datastore = format!(
        "name: private\ntype: azure_blob\naccount_name: {ACCOUNT}\ncontainer_name: private\nendpoint: {}\n",
        azurite.address()
    );
    project.write("private.yml", &datastore);
    let inputs = "d: {type: uri_file, path: azureml://datastores/private/paths/d.csv}";
    let outputs = "o: {type: uri_file, path: azureml://datastores/private/paths/out.csv}";
    project.write("job.yml", &job("cat ${{inputs.d}} | tee ${{outputs.o}}", inputs, outputs));
    let path = format!("{}:{}", signed_in.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let amlrun = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("SSL_CERT_FILE", &certificate).env("PATH", &path).env("AZURE_CREDENTIAL_KIND", "azurecli");
        Ran::of(command)
    };
    amlrun(&["datastore", "create", "-f", "private.yml"]).ended(0);
    let ran = amlrun(&["run", "job.yml", "--name", "r", "--output", "jsonl"]).ended(0);
    assert_eq!(project.log("main"), "for members\n");
    let copied = amlrun(&["cp", "azureml://datastores/private/paths/out.csv", "out.csv"]).ended(0);
    assert_eq!(project.read("out.csv"), "for members\n");
    let all = ran.out + &ran.err + &copied.out + &copied.err + &everything(&project.path(".amlrun"));
    assert!(!all.contains(&token) && !all.contains(token.rsplit('.').next().unwrap()));
    // Nobody is signed in: one sentence, and what to do.
    std::fs::write(&signed_in, "#!/bin/sh\necho 'Please run az login' >&2\nexit 1\n").unwrap();
    let ran = amlrun(&["run", "job.yml", "--name", "nobody"]).ended(1);
    assert!(ran.err.contains("is not public, and you are not signed in: run 'az login'"), "{}", ran.err);
}
