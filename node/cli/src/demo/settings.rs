//! The file of a node of the demo: what somebody would write for three machines, on one. Nothing here touches the machine.

use std::path::Path;

use serde_json::Value;

use crate::dev::plan::{Planned, text};
use crate::error::CommandError;

/// Where the nodes' certificates are, in the directory of the demo.
pub const CERTIFICATES: &str = "certs";

/// The file of `node`, one of `nodes`, in `directory`.
pub fn of(node: &Planned, nodes: &[Planned], directory: &Path, interpreter: &Path) -> Result<String, CommandError> {
    let join: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.peers)).collect();
    let certificates = directory.join(CERTIFICATES);
    let (ca, own) = (certificates.join("ca.pem"), certificates.join(&node.name));
    let certificate =
        format!("certificate = {}\nkey = {}\n", text(&own.join("node.pem"))?, text(&own.join("node.key"))?);
    Ok(format!(
        "data_dir = \"data\"\n\n[node]\nname = {}\n\n[cluster]\njoin = {}\nbootstrap_expect = {}\n\n\
         [peers]\nlisten = \"127.0.0.1:{}\"\nca = {}\n{certificate}\n[api]\nlisten = \"127.0.0.1:{}\"\n{certificate}\n\
         [http]\nlisten = \"127.0.0.1:{}\"\n\n[python]\ninterpreter = {}\n",
        Value::from(node.name.as_str()),
        Value::from(join),
        nodes.len(),
        node.peers,
        text(&ca)?,
        node.api,
        node.http,
        text(interpreter)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::plan::plan;

    #[test]
    fn a_node_has_ports_and_certificates_of_its_own_and_the_others_peers() {
        let nodes = plan(&[1, 2, 3, 4, 5, 6]);
        let written = of(&nodes[1], &nodes, Path::new("/t/a \"b\""), Path::new("/venv/bin/python")).expect("UTF-8");
        for line in [
            "name = \"node-2\"",
            "join = [\"127.0.0.1:3\",\"127.0.0.1:6\"]",
            "bootstrap_expect = 2",
            "listen = \"127.0.0.1:4\"",
            "ca = \"/t/a \\\"b\\\"/certs/ca.pem\"",
            "interpreter = \"/venv/bin/python\"",
        ] {
            assert!(written.lines().any(|written| written == line), "{line} is not in\n{written}");
        }
        let keys = written.matches("key = \"/t/a \\\"b\\\"/certs/node-2/node.key\"").count();
        assert_eq!(keys, 2, "peers and callers are both served by TLS:\n{written}");
        assert!(!written.contains("plaintext"), "{written}");
    }
}
