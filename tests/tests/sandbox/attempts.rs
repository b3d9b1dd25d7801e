//! What hostile programs try: each is stopped in its own way, and shown to work where nothing stops it.

use std::net::TcpListener;

use dspex_tests::skip;
use serde_json::{Value, json};

use crate::subject::{Node, OFF, ON};

/// A listener that programs may reach.
struct Other(TcpListener);

impl Other {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let taking = listener.try_clone().expect("a second handle");
        // It ends with the test.
        std::thread::spawn(move || taking.incoming().for_each(drop));
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }
}

/// How an attempt ends.
#[derive(Clone, Copy)]
enum Stopped {
    /// It raises, with this in its message.
    Raises(&'static str),
    /// Its worker is ended, for this reason.
    Ends(&'static str),
}

use Stopped::{Ends, Raises};

/// What it takes to show that it works.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// Without a sandbox the kernel lets only root do it.
    Root,
    /// There are no such calls elsewhere.
    X86,
    /// A file system whose files have flags.
    Flags,
}

struct Attempt {
    command: &'static str,
    arguments: Value,
    stopped: Stopped,
    needs: Needs,
}

fn attempt(command: &'static str, arguments: Value, stopped: Stopped) -> Attempt {
    Attempt { command, arguments, stopped, needs: Needs::Nothing }
}

fn as_root(command: &'static str, arguments: Value, stopped: Stopped) -> Attempt {
    Attempt { needs: Needs::Root, ..attempt(command, arguments, stopped) }
}

const DENIED: Stopped = Raises("PermissionError");
const NOT_READABLE: Stopped = Raises("does not let programs read");
const NOT_WRITABLE: Stopped = Raises("lets programs write in their own directory");
const NO_FLAGS: Stopped = Raises("Inappropriate ioctl for device");
const NOT_REACHED: Stopped = Raises("lets programs connect neither to nodes");

/// Why nothing could be shown; nothing: it can.
fn lacks(needs: Needs, node: &Node, is_sandboxed: bool) -> Option<&'static str> {
    let has_flags = || {
        let file = std::fs::File::open(node.project.path("app/victim.txt")).expect("there");
        rustix::fs::ioctl_getflags(&file).is_ok()
    };
    match needs {
        Needs::Root if !is_sandboxed && !rustix::process::geteuid().is_root() => Some("takes root"),
        Needs::X86 if !cfg!(target_arch = "x86_64") => Some("is of x86-64"),
        Needs::Flags if !has_flags() => Some("takes a file system whose files have flags"),
        _ => None,
    }
}

fn files(node: &Node) -> Vec<Attempt> {
    let path = |name: &str| json!({"path": node.path(name)});
    let secret = || path("elsewhere/secret.txt");
    let home = node.home.path().canonicalize().expect("a home");
    vec![
        attempt("read", json!({"path": "/etc/passwd"}), NOT_READABLE),
        attempt("read", path("node/data/token"), NOT_READABLE),
        attempt("read", path("node/dspex.toml"), NOT_READABLE),
        attempt("read", secret(), NOT_READABLE),
        attempt("list_directory", path("node/data"), NOT_READABLE),
        attempt("list_directory", json!({"path": home}), NOT_READABLE),
        attempt("list_directory", json!({"path": "/tmp"}), NOT_READABLE),
        attempt("list_directory", json!({"path": "/proc"}), NOT_READABLE),
        attempt("list_beside_home", json!({}), NOT_READABLE),
        attempt("read_through_link", secret(), NOT_READABLE),
        attempt("read_through_proc", secret(), NOT_READABLE),
        attempt("read_through_hard_link", secret(), DENIED),
        attempt("read_in_child", secret(), Raises("CalledProcessError")),
        attempt("write", secret(), NOT_READABLE),
        attempt("write", path("node/data/mine"), NOT_READABLE),
        attempt("write", path("app/mine"), NOT_WRITABLE),
        attempt("rename", path("elsewhere/secret.txt"), DENIED),
        attempt("truncate", secret(), DENIED),
        attempt("truncate_by_reading", path("app/victim.txt"), DENIED),
        attempt("change_mode", path("node/data/token"), DENIED),
        attempt("change_mode_of_opened", path("node/data/token"), DENIED),
        attempt("change_mode_beside_home", path("node/data/token"), DENIED),
        attempt("change_time", path("node/data/token"), DENIED),
        attempt("change_owner", secret(), DENIED),
        Attempt { needs: Needs::Flags, ..attempt("change_flags", path("app/victim.txt"), NO_FLAGS) },
        Attempt {
            needs: Needs::Flags,
            ..attempt("change_flags", json!({"path": node.path("app/victim.txt"), "past": 1}), NO_FLAGS)
        },
        attempt("watch_directory", path("node/data"), Raises("Function not implemented")),
    ]
}

fn connections(node: &Node, other: &Other) -> Vec<Attempt> {
    let to = |host: &str, port: u16| json!({"host": host, "port": port});
    let race = json!({"host": "127.0.0.1", "port": node.api, "other": other.port()});
    vec![
        attempt("connect", to("127.0.0.1", node.api), NOT_REACHED),
        attempt("connect", to("127.0.0.1", node.http), NOT_REACHED),
        attempt("connect", to("127.0.0.1", node.peers), NOT_REACHED),
        attempt("connect", to("0.0.0.0", node.api), NOT_REACHED),
        attempt("connect", to("::ffff:127.0.0.1", node.api), NOT_REACHED),
        attempt("connect_and_wait", to("127.0.0.1", node.peers), NOT_REACHED),
        attempt("connect_in_child", to("127.0.0.1", node.peers), DENIED),
        attempt("connect_by_sending", to("127.0.0.1", node.api), Raises("Operation not supported")),
        attempt("connect_while_changing", race, DENIED),
        attempt("reach_metadata", json!({"host": "169.254.169.254"}), NOT_REACHED),
        attempt("reach_metadata", json!({"host": "::ffff:169.254.169.254"}), NOT_REACHED),
        attempt("reach_metadata", json!({"host": "fd00:ec2::254"}), NOT_REACHED),
        attempt("reach_metadata", json!({"host": "100.100.100.200"}), NOT_REACHED),
        attempt("connect_unix", json!({"path": node.path("elsewhere/stream")}), NOT_REACHED),
        attempt("connect_abstract", json!({"name": node.abstract_name}), NOT_REACHED),
        attempt("send_unix_datagram", json!({"path": node.path("elsewhere/datagrams")}), DENIED),
        attempt("open_netlink", json!({}), Raises("Address family not supported")),
        as_root("open_raw", json!({}), DENIED),
    ]
}

fn processes(node: &Node) -> Vec<Attempt> {
    let pid = node.running.pid();
    let of_node = |file: &str| json!({"path": format!("/proc/{pid}/{file}")});
    vec![
        attempt("read", of_node("cmdline"), NOT_READABLE),
        attempt("read", of_node("status"), NOT_READABLE),
        as_root("read", of_node("environ"), NOT_READABLE),
        as_root("read", of_node("maps"), NOT_READABLE),
        attempt("signal_process", json!({"pid": pid}), DENIED),
        attempt("signal_parent", json!({}), DENIED),
        attempt("signal_by_descriptor", json!({"pid": pid}), DENIED),
        as_root("trace_parent", json!({}), DENIED),
        as_root("read_memory_of_parent", json!({}), DENIED),
        as_root("call_into_parent", json!({}), DENIED),
        as_root("take_descriptor_of_parent", json!({}), DENIED),
        attempt("limit_parent", json!({}), DENIED),
        attempt("slow_parent", json!({}), DENIED),
        attempt("bind_parent_to_a_cpu", json!({}), DENIED),
    ]
}

fn kernel() -> Vec<Attempt> {
    vec![
        as_root("unshare_users", json!({}), DENIED),
        as_root("unshare_mounts", json!({}), DENIED),
        as_root("clone_users", json!({}), DENIED),
        as_root("mount", json!({}), DENIED),
        attempt("share_memory", json!({}), Raises("Function not implemented")),
        attempt("add_key", json!({}), DENIED),
        as_root("set_up_ring", json!({}), Raises("Function not implemented")),
        as_root("count_cycles", json!({}), DENIED),
        attempt("change_personality", json!({}), DENIED),
        Attempt { needs: Needs::X86, ..attempt("call_as_x32", json!({}), Ends("its sandbox does not judge")) },
    ]
}

/// With a sandbox a worker is given the time in which it is found out; without, nobody waits.
fn too_much(is_sandboxed: bool) -> Vec<Attempt> {
    let seconds = if is_sandboxed { 25 } else { 0 };
    let fill = || json!({"megabytes": 60, "seconds": seconds});
    vec![
        attempt("fork_many", json!({"count": 100}), Raises("BlockingIOError")),
        attempt("start_many_threads", json!({"count": 100}), Raises("`processes` in [sandbox]")),
        attempt("open_many", json!({"count": 400}), Raises("`open_files` in [sandbox]")),
        attempt("write_long_file", json!({"megabytes": 20}), Raises("`file_size` in [sandbox]")),
        attempt("fill_disk", fill(), Ends("disk in [sandbox]")),
        attempt("fill_disk_without_names", fill(), Ends("disk in [sandbox]")),
        attempt("fill_memory", json!({"megabytes": 1024}), Ends("memory_limit")),
    ]
}

fn all(node: &Node, other: &Other, is_sandboxed: bool) -> Vec<Attempt> {
    let mut all = files(node);
    all.extend(connections(node, other));
    all.extend(processes(node));
    all.extend(kernel());
    all.extend(too_much(is_sandboxed));
    all
}

#[test]
fn every_attempt_is_stopped_in_its_own_way_and_the_node_stays_well() {
    let (node, other) = (Node::start(ON), Other::open());
    let attempts = all(&node, &other, true);
    assert!(attempts.len() >= 25);
    for Attempt { command, arguments, stopped, needs } in attempts {
        if let Some(why) = lacks(needs, &node, true) {
            skip("every_attempt_is_stopped", &format!("{command} {why}"));
            continue;
        }
        let told = node.call("general", command, &arguments);
        assert_eq!(told.code, Some(1), "{command} {arguments} was not stopped\n{}", told.describe());
        match stopped {
            Raises(phrase) => told.says("CALL_FAILED").says(phrase),
            Ends(phrase) => told.says("WORKER_LOST").says(phrase),
        };
        // Also what was ended is there again.
        node.answer("general", "ping", &json!(1));
    }
    node.is_well();
    // Nothing was changed on the way.
    assert_eq!(node.project.read("elsewhere/secret.txt"), "of somebody else");
    assert_eq!(node.project.read("app/victim.txt"), "of the program, too");
    let mode = std::fs::metadata(node.project.path("node/data/token")).expect("a token").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
}

#[test]
fn every_attempt_works_where_nothing_stops_it() {
    let (node, other) = (Node::start(OFF), Other::open());
    for Attempt { command, arguments, needs, .. } in all(&node, &other, false) {
        if let Some(why) = lacks(needs, &node, false) {
            skip("every_attempt_works_where_nothing_stops_it", &format!("{command} {why}"));
            continue;
        }
        let told = node.call("general", command, &arguments);
        assert_eq!(told.code, Some(0), "{command} {arguments} proves nothing\n{}", told.describe());
    }
}
