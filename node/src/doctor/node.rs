//! A node that runs, and its cluster.

use std::net::SocketAddr;

use dspex_api::v1::{ClusterStatusResponse, Member, StatusResponse};
use dspex_api::{Address, Ca, Client, Credentials, TimeLimits, Token, reason};
use dspex_cli::{CommandError, DoctorCommand};

use super::finding::Finding;
use crate::configuration::Configuration;

const CHECK: &str = "node";
/// Clocks of a cluster that is kept in step differ by less.
const AHEAD_MAX_MS: u64 = 5_000;

/// Whether a node answers, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum NodeFacts {
    /// None runs, and none has to.
    Absent(String),
    /// One was named, and does not answer: why, and what to do.
    Unreachable(String, Option<String>),
    Answers {
        place: String,
        status: Box<StatusResponse>,
        /// The cluster as the node sees it, or why it does not say.
        cluster: Result<Box<ClusterStatusResponse>, String>,
    },
}

impl NodeFacts {
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent(_))
    }
}

/// The node of `--address`, else that of a file, else the embedded one; none is started.
pub(super) async fn gather(command: &DoctorCommand, has_file: bool, of_file: Option<&Configuration>) -> NodeFacts {
    if let Some(error) = &command.refused {
        return NodeFacts::Unreachable(error.message.clone(), error.hint.clone());
    }
    let invocation = &command.invocation;
    let (place, found) = match (invocation.address(), of_file) {
        (Some(address), _) => (address.to_string(), invocation.running_node().await.map_err(refused)),
        (None, Some(configuration)) => match configuration.api_address() {
            Ok(address) => {
                let local = if address.ip().is_unspecified() {
                    SocketAddr::from(([127, 0, 0, 1], address.port()))
                } else {
                    address
                };
                (local.to_string(), of_configuration(configuration, local.to_string()).await)
            }
            Err(_) => return NodeFacts::Absent("its file names no address where it can be asked".to_owned()),
        },
        (None, None) if has_file => return NodeFacts::Absent("its file cannot be read".to_owned()),
        (None, None) => ("this home".to_owned(), invocation.running_node().await.map_err(refused)),
    };
    let answered = match found {
        Ok(None) => return NodeFacts::Absent(format!("no node runs at {place}")),
        Ok(Some(client)) => ask(&client).await.map_err(|error| refused(error.into())),
        Err(refused) => Err(refused),
    };
    match answered {
        Ok((status, cluster)) => {
            let cluster = cluster.map(Box::new);
            NodeFacts::Answers { place, status: Box::new(status), cluster }
        }
        Err((why, hint)) => NodeFacts::Unreachable(why, hint),
    }
}

fn refused(error: CommandError) -> (String, Option<String>) {
    (error.message, error.hint)
}

/// With the node's own token. That nobody listens there is no fault.
async fn of_configuration(
    configuration: &Configuration,
    address: String,
) -> Result<Option<Client>, (String, Option<String>)> {
    let token = std::fs::read_to_string(configuration.data_dir.join("token")).ok();
    let token = token.and_then(|text| Token::new(&text).ok()).unwrap_or_default();
    // Callers see a certificate of the authority that signs the peers', unless the file says nothing of one.
    let files = configuration.certificate_files();
    let named = |wanted: &str| files.iter().find(|(key, _)| *key == wanted).map(|(_, file)| file);
    let ca = named("api.certificate").and_then(|_| Ca::new(&std::fs::read(named("peers.ca")?).ok()?).ok());
    let address = if ca.is_some() { Address::Tls(address) } else { Address::Tcp(address) };
    match Client::connect(address, Credentials { token, ca }, TimeLimits::default()).await {
        Ok(client) => Ok(Some(client)),
        Err(error) if error.reason == reason::NODE_UNREACHABLE => Ok(None),
        Err(error) => Err(refused(error.into())),
    }
}

async fn ask(client: &Client) -> Result<(StatusResponse, Result<ClusterStatusResponse, String>), dspex_api::ApiError> {
    let status = client.status().await?;
    Ok((status, client.cluster_status().await.map_err(|error| error.message)))
}

/// What the facts say at a time, in Unix milliseconds.
pub(super) fn check(facts: &NodeFacts, own_version: &str, now_ms: u64) -> Vec<Finding> {
    match facts {
        NodeFacts::Absent(why) => vec![Finding::ok(CHECK, why)],
        NodeFacts::Unreachable(why, hint) => {
            let advice = hint.as_deref().unwrap_or("start the node, or name another with --address and --token-file");
            vec![Finding::failure(CHECK, why, advice)]
        }
        NodeFacts::Answers { place, status, cluster } => {
            let mut findings = vec![node(place, status, own_version)];
            match cluster {
                Ok(cluster) => findings.extend(of_cluster(cluster, now_ms)),
                Err(why) => findings.push(Finding::warning(
                    "cluster",
                    format!("the node does not say how its cluster is: {why}"),
                    "ask with a token that may read: --token-file",
                )),
            }
            findings
        }
    }
}

fn node(place: &str, status: &StatusResponse, own_version: &str) -> Finding {
    let says = format!("the node at {place} answers (pid {}, version {})", status.pid, status.version);
    if status.version == own_version {
        return Finding::ok(CHECK, says);
    }
    let advice = if status.embedded {
        "`dspex local stop` ends it; the next command starts one of its own version"
    } else {
        "use one version for nodes and commands"
    };
    Finding::warning(CHECK, format!("{says}, and this program is {own_version}"), advice)
}

fn of_cluster(cluster: &ClusterStatusResponse, now_ms: u64) -> Vec<Finding> {
    let mut findings = vec![quorum(cluster)];
    let mut versions: Vec<&str> =
        cluster.members.iter().map(|member| member.version.as_str()).filter(|version| !version.is_empty()).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() > 1 {
        let says = format!("the members have different versions: {}", versions.join(", "));
        findings.push(Finding::warning("versions", says, "bring all nodes to one version, one after the other"));
    }
    let free: Vec<String> = cluster.members.iter().filter(|member| member.sandbox == "off").map(shown).collect();
    if !free.is_empty() {
        let says = format!("the workers of {} are not sandboxed", free.join(", "));
        findings.push(Finding::warning("sandbox", says, "take mode = \"off\" out of [sandbox] of their files"));
    }
    // Log time never runs ahead of the clock of a leader; how far it is behind says only when something was written last.
    let ahead_ms = cluster.log_time_ms.saturating_sub(now_ms);
    if ahead_ms > AHEAD_MAX_MS {
        let says = format!("the cluster's log time is {} s ahead of this machine's clock", ahead_ms / 1000);
        findings.push(Finding::warning("clock", says, "keep the clocks of all machines in step, by NTP"));
    }
    findings
}

fn quorum(cluster: &ClusterStatusResponse) -> Finding {
    const CHECK: &str = "cluster";
    const ADVICE: &str = "`dspex cluster status` shows which members do not answer: start them";
    let voters: Vec<&Member> = cluster.members.iter().filter(|member| member.role == "voter").collect();
    let answering = voters.iter().filter(|member| member.reachable).count();
    let needed = voters.len() / 2 + 1;
    let says = format!("{answering} of {} voters answer, {needed} are needed", voters.len());
    if cluster.leader_id == 0 {
        return Finding::failure(CHECK, format!("there is no leader, so nothing can be written; {says}"), ADVICE);
    }
    if answering < needed {
        return Finding::failure(CHECK, format!("no quorum answers: {says}"), ADVICE);
    }
    let silent: Vec<String> = cluster.members.iter().filter(|member| !member.reachable).map(shown).collect();
    if silent.is_empty() {
        return Finding::ok(CHECK, format!("there is a leader, and every member answers ({})", cluster.members.len()));
    }
    Finding::warning(CHECK, format!("no answer from {}; {says}", silent.join(", ")), ADVICE)
}

fn shown(member: &Member) -> String {
    if member.name.is_empty() { member.node_id.to_string() } else { member.name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    const NOW: u64 = 1_800_000_000_000;

    fn member(node_id: u64, reachable: bool, version: &str) -> Member {
        Member {
            node_id,
            name: format!("node-{node_id}"),
            role: "voter".to_owned(),
            version: version.to_owned(),
            reachable,
            ..Member::default()
        }
    }

    fn findings(leader_id: u64, members: Vec<Member>, log_time_ms: u64) -> Vec<(&'static str, State)> {
        let cluster = ClusterStatusResponse { leader_id, members, log_time_ms, ..ClusterStatusResponse::default() };
        let status = StatusResponse { version: "0.1.0".to_owned(), ..StatusResponse::default() };
        let facts =
            NodeFacts::Answers { place: "here".to_owned(), status: Box::new(status), cluster: Ok(Box::new(cluster)) };
        check(&facts, "0.1.0", NOW).iter().map(|finding| (finding.check, finding.state)).collect()
    }

    fn three(reachable: usize) -> Vec<Member> {
        (1..=3).map(|id| member(id, id <= reachable as u64, "0.1.0")).collect()
    }

    #[test]
    fn a_whole_cluster_is_ok() {
        assert_eq!(findings(1, three(3), NOW - 86_400_000), [("node", State::Ok), ("cluster", State::Ok)]);
    }

    #[test]
    fn a_silent_member_is_a_warning_and_a_lost_quorum_a_failure() {
        assert_eq!(findings(1, three(2), 0)[1], ("cluster", State::Warning));
        assert_eq!(findings(1, three(1), 0)[1], ("cluster", State::Failure));
        assert_eq!(findings(0, three(3), 0)[1], ("cluster", State::Failure));
    }

    #[test]
    fn versions_and_clocks_that_differ_are_told() {
        let mixed = vec![member(1, true, "0.1.0"), member(2, true, "0.2.0")];
        assert!(findings(1, mixed, 0).contains(&("versions", State::Warning)));
        let unknown = vec![member(1, true, "0.1.0"), member(2, true, "")];
        assert!(!findings(1, unknown, 0).iter().any(|(check, _)| *check == "versions"));
        assert!(findings(1, three(3), NOW + 60_000).contains(&("clock", State::Warning)));
        assert!(!findings(1, three(3), NOW + 1_000).iter().any(|(check, _)| *check == "clock"));
    }

    #[test]
    fn members_whose_workers_are_not_sandboxed_are_told() {
        let with = |sandbox: &str| vec![Member { sandbox: sandbox.to_owned(), ..member(1, true, "0.1.0") }];
        assert!(findings(1, with("off"), 0).contains(&("sandbox", State::Warning)));
        assert!(!findings(1, with("on"), 0).iter().any(|(check, _)| *check == "sandbox"));
    }

    #[test]
    fn a_node_of_another_version_is_a_warning_and_an_absent_one_nothing() {
        let status = StatusResponse { version: "0.0.9".to_owned(), embedded: true, ..StatusResponse::default() };
        let found = node("here", &status, "0.1.0");
        assert!(found.state == State::Warning && found.advice.is_some_and(|advice| advice.contains("local stop")));
        assert_eq!(check(&NodeFacts::Absent("none".to_owned()), "0.1.0", NOW)[0].state, State::Ok);
        let lost = NodeFacts::Unreachable("no node answers".to_owned(), None);
        assert_eq!(check(&lost, "0.1.0", NOW)[0].state, State::Failure);
    }
}
