//! A machine that cannot sandbox: a kernel without Landlock, which is made by a filter that denies its first system call.

use std::time::Duration;

use dspex_tests::{Dspex, Home, Project, free_port, holds_within, places};

const PATIENCE: Duration = Duration::from_secs(60);

/// Executes its arguments where `landlock_create_ruleset` is answered as by a kernel that does not have it.
const WITHOUT_LANDLOCK: &str = r#"
import ctypes, os, struct, sys

def instruction(code, if_true, if_false, operand):
    return struct.pack("HBBI", code, if_true, if_false, operand)

load, is_equal, give = 0x20, 0x15, 0x06
program = b"".join([
    instruction(load, 0, 0, 0),
    instruction(is_equal, 0, 1, 444),
    instruction(give, 0, 0, 0x00050000 | 38),
    instruction(give, 0, 0, 0x7FFF0000),
])
code = ctypes.create_string_buffer(program, len(program))
described = ctypes.create_string_buffer(struct.pack("HP", 4, ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())
assert libc.prctl(22, 2, described, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[1], sys.argv[1:])
"#;

/// A node's file, and a machine for it.
struct Machine {
    home: Home,
    project: Project,
    http: u16,
}

impl Machine {
    fn new(settings: &str) -> Self {
        let (home, project) = (Home::new(), Project::empty());
        let (api, http) = (free_port(), free_port());
        project.file("machine.py", WITHOUT_LANDLOCK);
        project.file(
            "dspex.toml",
            format!(
                "data_dir = \"data\"\n[api]\nlisten = \"127.0.0.1:{api}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n[python]\n\
                 interpreter = \"{}\"\n{settings}",
                places::interpreter().display()
            ),
        );
        Self { home, project, http }
    }

    /// A command of the program there.
    fn dspex(&self, verb: &str) -> Dspex {
        let machine = self.home.dspex_of(&places::interpreter(), &[]);
        let command = machine.arg(self.project.path("machine.py")).arg(places::program()).args([verb, "--config"]);
        command.arg(self.project.path("dspex.toml")).limit(2 * PATIENCE)
    }

    fn is_ready(&self) -> bool {
        std::net::TcpStream::connect(("127.0.0.1", self.http)).is_ok()
    }
}

#[test]
fn a_node_does_not_start_where_the_kernel_cannot_hold_its_workers() {
    let machine = Machine::new("");
    let refused = machine.dspex("node").run().expect(1);
    for phrase in ["Landlock (Function not implemented", "Linux 5.13", "dspex doctor", "[sandbox]"] {
        refused.says(phrase);
    }
    assert!(!machine.is_ready());
    assert!(!machine.project.path("data/data").exists(), "it was refused before anything was made");
    let told = machine.dspex("doctor").run().expect(1);
    assert!(told.stdout.contains("the node will not start: this machine lacks Landlock"), "{}", told.describe());
}

#[test]
fn an_operator_can_do_without_and_then_the_node_starts_there() {
    let machine = Machine::new("[sandbox]\nmode = \"off\"\n");
    let running = machine.dspex("node").start();
    let is_told = || running.stderr().contains("not sandboxed");
    assert!(holds_within(PATIENCE, || machine.is_ready() && is_told()), "{}", running.stderr());
}
