//! The processes of a distributed step, and the variables of each (reference, section 7.3).
//!
//! Several nodes of a cluster are several processes of this machine. They share the working directory, connect over
//! loopback, and get ports that were free a moment before. This file starts nothing.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use super::launch::{Launcher, RankProcess};

/// How a step is distributed, from its `distribution`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// `type: pytorch`: processes that connect to a master's address.
    PyTorch {
        /// `process_count_per_instance`.
        per_node: u32,
    },
    /// `type: mpi`: ranks that `mpirun` starts.
    Mpi {
        /// `process_count_per_instance`.
        per_node: u32,
    },
    /// `type: tensorflow`: workers, and parameter servers.
    TensorFlow {
        /// `worker_count`; the number of nodes if it is not given.
        workers: Option<u32>,
        /// `parameter_server_count`.
        parameter_servers: u32,
    },
}

/// The processes of a step on that many nodes (`resources.instance_count`), with their logs in `user_logs`.
///
/// # Errors
/// A message, if this machine has no free port.
pub fn lay_out(
    distribution: Option<&Distribution>,
    nodes: u32,
    user_logs: &Path,
) -> Result<(Launcher, Vec<RankProcess>), String> {
    let mut ports = Ports::default();
    lay_out_with(distribution, nodes.max(1), user_logs, &mut || ports.free())
        .map_err(|error| format!("no free port on this machine's loopback address: {error}"))
}

fn lay_out_with(
    distribution: Option<&Distribution>,
    nodes: u32,
    user_logs: &Path,
    port: &mut dyn FnMut() -> io::Result<u16>,
) -> io::Result<(Launcher, Vec<RankProcess>)> {
    let made = match distribution {
        None => (Launcher::Bash, per_node(nodes)),
        Some(Distribution::PyTorch { per_node }) => (Launcher::Bash, pytorch(nodes, (*per_node).max(1), port()?)),
        Some(Distribution::TensorFlow { workers, parameter_servers }) => {
            let workers = workers.unwrap_or(nodes).max(1);
            (Launcher::Bash, tensorflow(workers, *parameter_servers, port)?)
        }
        Some(Distribution::Mpi { per_node }) => {
            let (per_node, master) = ((*per_node).max(1), port()?);
            let only = Rank { label: String::new(), variables: mpi(nodes, master), serves: false };
            (Launcher::Mpirun { ranks: nodes * per_node, per_node }, vec![only])
        }
    };
    Ok((made.0, with_logs(made.1, nodes, user_logs)))
}

/// A process without its log.
struct Rank {
    label: String,
    variables: Vec<(&'static str, String)>,
    serves: bool,
}

fn with_logs(ranks: Vec<Rank>, nodes: u32, user_logs: &Path) -> Vec<RankProcess> {
    let several = ranks.len() > 1;
    let made = ranks.into_iter().enumerate().map(|(index, rank)| {
        let mut variables = vec![("AZUREML_NODE_COUNT", nodes.to_string())];
        variables.extend(rank.variables);
        RankProcess {
            label: several.then_some(rank.label),
            variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            log: user_logs.join(if several {
                format!("std_log_process_{index}.txt")
            } else {
                "std_log.txt".to_owned()
            }),
            serves: rank.serves,
        }
    });
    made.collect()
}

/// Without a distribution the command runs once on each node.
fn per_node(nodes: u32) -> Vec<Rank> {
    let of = |node: u32| Rank { label: format!("node {node}"), variables: node_rank(node), serves: false };
    (0..nodes).map(of).collect()
}

fn node_rank(node: u32) -> Vec<(&'static str, String)> {
    vec![("AZUREML_CR_NODE_RANK", node.to_string()), ("NODE_RANK", node.to_string())]
}

fn pytorch(nodes: u32, per_node: u32, port: u16) -> Vec<Rank> {
    let world = nodes * per_node;
    let of = |rank: u32| {
        let mut variables = node_rank(rank / per_node);
        variables.extend([
            ("MASTER_ADDR", Ipv4Addr::LOCALHOST.to_string()),
            ("MASTER_PORT", port.to_string()),
            ("WORLD_SIZE", world.to_string()),
            ("RANK", rank.to_string()),
            ("LOCAL_RANK", (rank % per_node).to_string()),
            ("LOCAL_WORLD_SIZE", per_node.to_string()),
            ("AZUREML_PROCESS_NAME", format!("rank_{rank}")),
        ]);
        variables.extend(batch(nodes, port));
        Rank { label: format!("rank {rank}"), variables, serves: false }
    };
    (0..world).map(of).collect()
}

fn tensorflow(
    workers: u32,
    parameter_servers: u32,
    port: &mut dyn FnMut() -> io::Result<u16>,
) -> io::Result<Vec<Rank>> {
    let mut addresses = |count: u32| -> io::Result<Vec<String>> {
        (0..count).map(|_| Ok(format!("{}:{}", Ipv4Addr::LOCALHOST, port()?))).collect()
    };
    let mut cluster = serde_json::Map::new();
    cluster.insert("worker".to_owned(), addresses(workers)?.into());
    if parameter_servers > 0 {
        cluster.insert("ps".to_owned(), addresses(parameter_servers)?.into());
    }
    let tasks = (0..workers).map(|i| ("worker", i)).chain((0..parameter_servers).map(|i| ("ps", i)));
    let made = tasks.enumerate().map(|(process, (task, index))| {
        let told = serde_json::json!({
            "cluster": cluster,
            "task": {"type": task, "index": index},
            "environment": "cloud",
        });
        let mut variables = node_rank(u32::try_from(process).unwrap_or(0));
        variables.push(("TF_CONFIG", told.to_string()));
        variables.push(("AZUREML_PROCESS_NAME", format!("rank_{process}")));
        Rank { label: format!("{task} {index}"), variables, serves: task == "ps" }
    });
    Ok(made.collect())
}

fn mpi(nodes: u32, port: u16) -> Vec<(&'static str, String)> {
    let mut variables = node_rank(0);
    variables.extend(batch(nodes, port));
    variables
}

/// The variables for scripts that find their master as on Azure Batch.
fn batch(nodes: u32, port: u16) -> [(&'static str, String); 4] {
    let here = Ipv4Addr::LOCALHOST.to_string();
    [
        ("AZ_BATCHAI_MPI_MASTER_NODE", here.clone()),
        ("AZ_BATCHAI_JOB_MASTER_NODE_IP", here.clone()),
        ("AZ_BATCH_MASTER_NODE", format!("{here}:{port}")),
        ("AZ_BATCH_HOST_LIST", vec![here; nodes as usize].join(",")),
    ]
}

/// More variables for a rank that `mpirun` starts. They are set before the step's command on its first line, so that
/// the shell's line numbers are the author's. Open MPI and Hydra (MPICH, Intel MPI) have different names for the
/// rank.
pub(crate) fn mpi_preamble(per_node: u32) -> String {
    let rank = "${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}";
    format!(
        "export AZUREML_PROCESS_NAME=rank_{rank} NODE_RANK=$(({rank} / {per_node})) \
         AZUREML_CR_NODE_RANK=$(({rank} / {per_node})); "
    )
}

/// A port that is free now.
///
/// # Errors
/// A message, if this machine has none.
pub fn free_port() -> Result<u16, String> {
    Ports::default().free().map_err(|error| format!("no free port on this machine's loopback address: {error}"))
}

/// Free ports of the loopback address. They are held until all are chosen, so that no port is chosen twice.
#[derive(Default)]
struct Ports {
    held: Vec<TcpListener>,
}

impl Ports {
    fn free(&mut self) -> io::Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        self.held.push(listener);
        Ok(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(distribution: Option<&Distribution>, nodes: u32) -> (Launcher, Vec<RankProcess>) {
        let mut next = 6000;
        let mut port = || {
            next += 1;
            Ok(next)
        };
        lay_out_with(distribution, nodes, Path::new("logs"), &mut port).unwrap()
    }

    fn value<'a>(process: &'a RankProcess, name: &str) -> &'a str {
        // The later one wins, as in an environment.
        process.variables.iter().rev().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    #[test]
    fn one_node_without_a_distribution_is_one_process() {
        let (_, processes) = laid_out(None, 1);
        assert_eq!(processes.len(), 1);
        assert_eq!((&processes[0].label, processes[0].log.as_path()), (&None, Path::new("logs/std_log.txt")));
        let (_, processes) = laid_out(None, 3);
        assert_eq!(processes.iter().map(|p| value(p, "AZUREML_CR_NODE_RANK")).collect::<Vec<_>>(), ["0", "1", "2"]);
        assert_eq!(value(&processes[0], "AZUREML_NODE_COUNT"), "3");
    }

    #[test]
    fn pytorch_ranks_count_over_the_nodes() {
        let (_, processes) = laid_out(Some(&Distribution::PyTorch { per_node: 2 }), 2);
        let told = |name: &str| processes.iter().map(|p| value(p, name)).collect::<Vec<_>>();
        assert_eq!(told("RANK"), ["0", "1", "2", "3"]);
        assert_eq!(told("LOCAL_RANK"), ["0", "1", "0", "1"]);
        assert_eq!(told("NODE_RANK"), ["0", "0", "1", "1"]);
        assert_eq!(told("WORLD_SIZE"), ["4"; 4]);
        assert_eq!(told("MASTER_PORT"), ["6001"; 4]);
        assert_eq!(told("AZUREML_PROCESS_NAME")[3], "rank_3");
        assert_eq!(processes[1].log, Path::new("logs/std_log_process_1.txt"));
        assert_eq!(processes[1].label.as_deref(), Some("rank 1"));
    }

    #[test]
    fn tensorflow_tasks_know_all_addresses() {
        let distribution = Distribution::TensorFlow { workers: None, parameter_servers: 1 };
        let (_, processes) = laid_out(Some(&distribution), 2);
        let config: serde_json::Value = serde_json::from_str(value(&processes[2], "TF_CONFIG")).unwrap();
        assert_eq!(config["cluster"]["worker"], serde_json::json!(["127.0.0.1:6001", "127.0.0.1:6002"]));
        assert_eq!(config["cluster"]["ps"], serde_json::json!(["127.0.0.1:6003"]));
        assert_eq!(config["task"], serde_json::json!({"type": "ps", "index": 0}));
        assert_eq!(processes.iter().map(|p| p.serves).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn mpi_is_one_process_that_starts_the_ranks() {
        let (launcher, processes) = laid_out(Some(&Distribution::Mpi { per_node: 2 }), 2);
        assert_eq!(launcher, Launcher::Mpirun { ranks: 4, per_node: 2 });
        assert_eq!(processes.len(), 1);
        assert_eq!(value(&processes[0], "AZ_BATCH_HOST_LIST"), "127.0.0.1,127.0.0.1");
        assert_eq!(value(&processes[0], "AZ_BATCH_MASTER_NODE"), "127.0.0.1:6001");
    }

    #[test]
    fn ports_are_free_and_differ() {
        let mut ports = Ports::default();
        let (one, two) = (ports.free().unwrap(), ports.free().unwrap());
        assert_ne!(one, two);
        drop(ports);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, one)).is_ok());
    }
}
