//! A Ray cluster of one node for a step with `distribution: type: ray`. It is started before the step's command, in the
//! command's process group, so that it ends with the step however that ends.

use std::fmt::Write as _;

use crate::exec::ranks;
use crate::plan::Distribution;

/// Where Ray says how it started, in the step's working directory.
const LOG: &str = "logs/ray_head.txt";

/// Ray listens on the network and runs what it is sent. A secret that only the step knows keeps others out; versions
/// before 2.52 know none.
const TOKEN: &str = "[ -n \"$RAY_AUTH_MODE\" ] || \
    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \\n'); ";

/// What a step gets that runs beside a Ray cluster.
pub(super) struct Cluster {
    /// The command, with what comes before it. Its lines keep their numbers.
    pub command: String,
    /// The address of the cluster, in the form of a variable.
    pub variable: (String, String),
}

/// The cluster that a step has: its own, or the one whose address the author gives.
pub(super) fn cluster(written: &Distribution, command: &str) -> Result<Cluster, String> {
    let variable = |address: &str| ("RAY_ADDRESS".to_owned(), address.to_owned());
    if let Some(address) = written.options.get("address") {
        return Ok(Cluster { command: command.to_owned(), variable: variable(address) });
    }
    let port = match written.options.get("port") {
        Some(port) => port.clone(),
        None => ranks::free_port()?.to_string(),
    };
    let command = format!("{}{command}", start(written, &port));
    Ok(Cluster { command, variable: variable(&format!("127.0.0.1:{port}")) })
}

fn start(written: &Distribution, port: &str) -> String {
    let option = |name: &str| written.options.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let has_dashboard = option("include_dashboard").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let mut text = format!(
        "{TOKEN}ray start --head --node-ip-address=127.0.0.1 --port={port} --disable-usage-stats \
         --include-dashboard={has_dashboard}"
    );
    // Writing to a string cannot fail.
    if has_dashboard {
        text.push_str(" --dashboard-host=127.0.0.1");
        if let Some(port) = option("dashboard_port") {
            let _ = write!(text, " --dashboard-port={port}");
        }
    }
    // They are words of a shell. A line break would end the command.
    if let Some(arguments) = option("head_node_additional_args") {
        let _ = write!(text, " {}", arguments.replace(['\r', '\n'], " ").trim());
    }
    let _ = write!(text, " > {LOG} 2>&1 || {{ cat {LOG} >&2; echo 'the Ray head did not start' >&2; exit 1; }}; ");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn ray(options: &[(&str, &str)]) -> Distribution {
        let options = options.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Distribution { kind: Some("ray".to_owned()), instances: 2, counts: BTreeMap::new(), options }
    }

    #[test]
    fn the_head_starts_before_the_command_on_its_first_line() {
        let options = [
            ("port", "6380"),
            ("include_dashboard", "True"),
            ("dashboard_port", "8300"),
            ("head_node_additional_args", "--num-cpus 2\n"),
        ];
        let cluster = cluster(&ray(&options), "echo a\necho b").unwrap();
        assert_eq!(cluster.variable, ("RAY_ADDRESS".to_owned(), "127.0.0.1:6380".to_owned()));
        assert!(
            cluster.command.starts_with(&format!(
                "{TOKEN}ray start --head --node-ip-address=127.0.0.1 --port=6380 --disable-usage-stats \
                 --include-dashboard=true --dashboard-host=127.0.0.1 --dashboard-port=8300 --num-cpus 2 > logs/"
            )),
            "{}",
            cluster.command
        );
        assert!(cluster.command.ends_with("exit 1; }; echo a\necho b"), "{}", cluster.command);
        assert_eq!(ray(&options).processes(), 1, "the command runs on the head only");
    }

    #[test]
    fn a_step_gets_a_free_port_or_the_cluster_that_it_names() {
        let own = cluster(&ray(&[]), "true").unwrap();
        let port = own.variable.1.strip_prefix("127.0.0.1:").unwrap();
        assert!(port.parse::<u16>().is_ok() && own.command.contains(&format!("--port={port} ")), "{}", own.command);
        assert!(own.command.contains("--include-dashboard=false"), "{}", own.command);
        let given = cluster(&ray(&[("address", "10.0.0.1:6379")]), "true").unwrap();
        assert_eq!((given.command.as_str(), given.variable.1.as_str()), ("true", "10.0.0.1:6379"));
    }
}
