//! Processes that the tests start, pause, kill and put on hosts: this program again, in a role.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const ROLE: &str = "DSPEX_TEST_ROLE";

/// Before each line that a child means for its test; the harness prints lines of its own.
const MARK: &str = "child: ";

/// How long a connection may take. Hosts are microseconds apart.
pub const REACH: Duration = Duration::from_secs(1);

/// What a child does. Started as a test it has nothing to do.
#[test]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let say = |line: &str| println!("{MARK}{line}");
    let words: Vec<&str> = role.split(' ').collect();
    match words.as_slice() {
        // Both clocks, in milliseconds, for each line.
        ["clock"] => {
            let begun = Instant::now();
            for _ in std::io::stdin().lines() {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
                say(&format!("{wall} {}", begun.elapsed().as_millis()));
            }
        }
        ["reach", address] => {
            let address: SocketAddr = address.parse().expect("an address");
            say(if reaches(address) { "reached" } else { "not reached" });
        }
        ["send", address] => {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket.send_to(b"datagram", address.parse::<SocketAddr>().expect("an address")).expect("sent into the air");
            say("sent");
        }
        // Says which datagrams come and answers connections, until its end.
        ["serve", address] => {
            let (listener, socket) =
                (TcpListener::bind(address).expect("bound"), UdpSocket::bind(address).expect("bound"));
            say("serves");
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let _ = stream.and_then(|mut stream| stream.write_all(b"here"));
                }
            });
            let mut bytes = [0; 64];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                say(&format!("{} from {}", String::from_utf8_lossy(&bytes[..length]), from.ip()));
            }
        }
        _ => panic!("no such role: {role}"),
    }
}

/// Whether somebody answers there.
pub fn reaches(address: SocketAddr) -> bool {
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, REACH)?;
        stream.set_read_timeout(Some(REACH))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    answer().is_ok_and(|text| text == "here")
}

/// A child in a role. It is killed when this is dropped.
pub struct InRole {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl InRole {
    /// `command` gives the command that starts a program: as it is, on a host, with another environment.
    pub fn start(role: &str, command: impl FnOnce(&std::path::Path) -> Command) -> Self {
        let program = std::env::current_exe().expect("this test");
        let mut child = command(&program)
            .args(["--exact", "child::role", "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((_, said)) = line.split_once(MARK) {
                    let _ = sender.send(said.to_owned());
                }
            }
        });
        Self { child, stdin, lines }
    }

    /// Beside this test, with nothing special.
    pub fn plain(role: &str) -> Self {
        Self::start(role, |program| Command::new(program))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it says, if it says one in time.
    pub fn hears_within(&self, limit: Duration) -> Option<String> {
        self.lines.recv_timeout(limit).ok()
    }

    /// The next line, which must come.
    pub fn hears(&self) -> String {
        self.hears_within(Duration::from_secs(20)).expect("the child says something")
    }

    /// Sends it a line.
    pub fn asks(&mut self) {
        self.stdin.as_mut().expect("open").write_all(b"\n").expect("the child reads");
    }

    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().expect("waited for")
    }
}

impl Drop for InRole {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
