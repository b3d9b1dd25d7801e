//! Who calls, and what each call needs.

use dspex_model::Role;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The token's name, or the local user's.
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// The least role for a gRPC method or an HTTP path. What is not known here is for admins.
pub(super) fn needed(path: &str) -> Role {
    let Some((service, method)) = path.trim_start_matches('/').split_once('/') else { return of_page(path) };
    match (service, method) {
        ("grpc.health.v1.Health" | "grpc.reflection.v1.ServerReflection", _) => Role::Reader,
        ("dspex.v1.Sessions", "Get" | "List" | "History" | "Stats") => Role::Reader,
        ("dspex.v1.Sessions", "Create" | "Update" | "Delete" | "Execute") => Role::Runner,
        ("dspex.v1.Executions", "List" | "Get") => Role::Reader,
        ("dspex.v1.Programs" | "dspex.v1.Variables", "Get" | "List" | "History") => Role::Reader,
        ("dspex.v1.Programs", "ListOptimizations") => Role::Reader,
        ("dspex.v1.Programs", "Put" | "Delete" | "SetStatus" | "RecordOptimization") => Role::Runner,
        ("dspex.v1.Variables", "Set" | "Delete") => Role::Runner,
        ("dspex.v1.Runs", "Get" | "List" | "Watch" | "Results") => Role::Reader,
        ("dspex.v1.Runs", "Submit" | "Cancel" | "Pause" | "Weigh" | "Resume" | "Retry" | "Delete" | "Serve") => {
            Role::Runner
        }
        ("dspex.v1.Blobs", "Get") => Role::Reader,
        ("dspex.v1.Blobs", "Put" | "Keep") => Role::Runner,
        ("dspex.v1.Pools", "Stats" | "ListWorkers") => Role::Reader,
        ("dspex.v1.Pools", "Open" | "Call" | "Calls") => Role::Runner,
        ("dspex.v1.Environments", "List" | "Get") => Role::Reader,
        ("dspex.v1.Cluster", "Status") => Role::Reader,
        ("dspex.v1.Admin", "Status" | "Workers") => Role::Reader,
        _ => of_page(path),
    }
}

/// Whether a call is answered from the node itself: from its processes, its settings, its measures. All others need the state.
pub(super) fn is_of_node(path: &str) -> bool {
    let Some((service, method)) = path.trim_start_matches('/').split_once('/') else { return true };
    match service {
        "grpc.health.v1.Health" | "grpc.reflection.v1.ServerReflection" | "dspex.v1.Environments" => true,
        "dspex.v1.Pools" => method != "Open" && method != "Call" && method != "Calls",
        "dspex.v1.Cluster" => method == "Status",
        "dspex.v1.Admin" => ["Status", "Workers", "Stop"].contains(&method),
        _ => !service.starts_with("dspex."),
    }
}

fn of_page(path: &str) -> Role {
    if path == "/metrics" { Role::Reader } else { Role::Admin }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn a_reader_submits_nothing_and_only_an_admin_changes_the_cluster() {
        for (path, role) in [
            ("/dspex.v1.Runs/List", Role::Reader),
            ("/dspex.v1.Runs/Submit", Role::Runner),
            ("/dspex.v1.Pools/Call", Role::Runner),
            ("/dspex.v1.Executions/List", Role::Reader),
            ("/dspex.v1.Executions/Clear", Role::Admin),
            ("/dspex.v1.Programs/Get", Role::Reader),
            ("/dspex.v1.Programs/Put", Role::Runner),
            ("/dspex.v1.Variables/Set", Role::Runner),
            ("/dspex.v1.Admin/CreateToken", Role::Admin),
            ("/dspex.v1.Cluster/RemoveMember", Role::Admin),
            ("/dspex.v1.Unknown/Call", Role::Admin),
            ("/metrics", Role::Reader),
            ("/", Role::Admin),
        ] {
            assert_eq!(needed(path), role, "{path}");
        }
    }

    /// A method whose name promises to change nothing must not need more than it has to, and the other way round.
    #[test]
    fn every_method_of_the_contract_has_a_role_that_fits_its_name() {
        let files = FileDescriptorSet::decode(dspex_api::FILE_DESCRIPTOR_SET).expect("the proto files");
        let mut seen = 0;
        for file in files.file.iter().filter(|file| file.package() == "dspex.v1") {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/dspex.v1.{}/{}", service.name(), method.name());
                    // A hash reads everything, under the lock of the state: it is for admins.
                    let reads = ["Get", "List", "History", "Watch", "Results", "Stats", "Status", "Workers"]
                        .iter()
                        .any(|verb| {
                            method.name() == *verb || ["ListWorkers", "ListOptimizations"].contains(&method.name())
                        });
                    assert_eq!(needed(&path) == Role::Reader, reads, "{path} needs {:?}", needed(&path));
                    seen += 1;
                }
            }
        }
        assert!(seen > 30, "only {seen} methods");
    }
}
