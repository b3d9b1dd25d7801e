//! A node with programs, its data and keys elsewhere, and somebody else's files and sockets on the same machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::time::Duration;

use dspex_tests::{Dspex, Home, Output, Project, Running, free_port, holds_within, places};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const ATTEMPTS: &str = include_str!("attempts.py");
const ORDINARY: &str = include_str!("ordinary.py");

/// `[sandbox]` and the pools of a node whose workers are confined, with limits that are soon reached.
pub const ON: &str = "[sandbox]\nprocesses = 64\nopen_files = 256\nfile_size = \"8MiB\"\ndisk = \"24MiB\"\n[pools.general]\n\
                      memory_limit = \"512MiB\"\n";
/// The same without.
pub const OFF: &str = "[sandbox]\nmode = \"off\"\n[pools.general]\n";

pub struct Node {
    pub home: Home,
    pub project: Project,
    pub running: Running,
    pub api: u16,
    pub http: u16,
    pub peers: u16,
    /// Of somebody else, and with someone who listens.
    _unix: UnixListener,
    _datagrams: UnixDatagram,
    _abstract: UnixListener,
    pub abstract_name: String,
}

impl Node {
    /// One with these settings, which end in `[pools.general]`.
    pub fn start(settings: &str) -> Self {
        let (home, project) = (Home::new(), Project::empty());
        let [api, http, peers] = [free_port(), free_port(), free_port()];
        project.file("app/attempts.py", ATTEMPTS).file("app/ordinary.py", ORDINARY);
        project.file("app/data.txt", "of the program").file("app/victim.txt", "of the program, too");
        project.file("elsewhere/secret.txt", "of somebody else");
        let commands = "commands = [\"attempts.py\", \"ordinary.py\"]\n";
        project.file(
            "node/dspex.toml",
            format!(
                "data_dir = \"data\"\n[api]\nlisten = \"127.0.0.1:{api}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n[peers]\n\
                 listen = \"127.0.0.1:{peers}\"\nplaintext = true\n[python]\ninterpreter = \"{}\"\ndirectory = \"../app\"\n{settings}\
                 workers = 1\nretries = 0\n{commands}[pools.optimizer]\n{commands}",
                places::interpreter().display()
            ),
        );
        let place = project.path("elsewhere");
        let abstract_name = format!("dspex-test-{api}");
        let name = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        let unix = UnixListener::bind(place.join("stream")).expect("a socket");
        let datagrams = UnixDatagram::bind(place.join("datagrams")).expect("a socket");
        let listener = UnixListener::bind_addr(&name).expect("a socket");
        let config = project.path("node/dspex.toml");
        let running = home.dspex(&["node", "--config"]).arg(config).limit(Duration::from_secs(1200)).start();
        let node = Self {
            home,
            project,
            running,
            api,
            http,
            peers,
            _unix: unix,
            _datagrams: datagrams,
            _abstract: listener,
            abstract_name,
        };
        assert!(holds_within(PATIENCE, || node.is_ready()), "{}", node.running.stderr());
        node
    }

    pub fn dspex(&self, arguments: &[&str]) -> Dspex {
        self.home.dspex(arguments).env("DSPEX_ADDRESS", format!("127.0.0.1:{}", self.api))
    }

    /// A call of a pool, to its end.
    pub fn call(&self, pool: &str, command: &str, arguments: &Value) -> Output {
        self.dspex(&["pool", "call", pool, command, &arguments.to_string(), "-o", "json"]).run()
    }

    /// What a call gives that must succeed.
    #[track_caller]
    pub fn answer(&self, pool: &str, command: &str, arguments: &Value) -> Value {
        self.call(pool, command, arguments).expect(0).object()
    }

    /// A path beneath the project, as programs name it.
    pub fn path(&self, name: &str) -> String {
        let directory: PathBuf = self.project.directory().canonicalize().expect("a directory");
        directory.join(name).display().to_string()
    }

    /// It answers, as the same process as ever.
    #[track_caller]
    pub fn is_well(&self) {
        assert!(self.is_ready(), "{}", self.running.stderr());
        let status = self.dspex(&["cluster", "health"]).run();
        assert_eq!(status.code, Some(0), "{}", status.describe());
        assert!(dspex_tests::process::runs(self.running.pid()), "{}", self.running.stderr());
    }

    fn is_ready(&self) -> bool {
        let asked = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.http))?;
            stream.write_all(b"GET /healthz/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        asked().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }
}
