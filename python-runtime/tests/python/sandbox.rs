//! The sandbox of a worker, for real: what it keeps programs from, what it lets them do, and what it costs.
//!
//! Attempts of hostile programs at a whole node are in the suite `sandbox` of the workspace's tests.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dspex_python::protocol::{Call, Calls, FromWorker, Outcome, PROTOCOL_VERSION, Serve, ToWorker};
use dspex_python::{
    EndReason, ForkError, Limits, Package, Registry, Sandbox, SandboxSetup, StartError, WorkerProcess, Zygotes,
};
use dspex_sandbox::{Endpoints, Kernel, Network, Settings};
use serde_json::{Value, json};

use crate::support::{end_of, environment, eventually, interpreter, next_frame};

const COMMANDS: &str = r#"
import os, signal, socket, subprocess, sys, tempfile, time
import dspex

@dspex.command
def read(path):
    return open(path).read(16)

@dspex.command
def write(path):
    open(path, "w").close()

@dspex.command
def change_mode(path, mode):
    os.chmod(path, mode)
    return os.stat(path).st_mode & 0o777

@dspex.command
def connect(host, port, wait=False):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as connection:
        connection.settimeout(None if wait else 20)
        connection.connect((host, port))
        return connection.gettimeout() is None

@dspex.command
def connect_unix(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)

@dspex.command
def signal_process(pid):
    os.kill(pid, signal.SIGCONT)

@dspex.command
def signal_child():
    child = subprocess.Popen(["sleep", "60"])
    child.kill()
    return child.wait()

@dspex.command
def change_flags(path):
    import fcntl
    place = os.open(path, os.O_RDONLY)
    flags = fcntl.ioctl(place, 0x80086601, bytes(8))
    fcntl.ioctl(place, 0x40086602, flags)

@dspex.command
def truncate(path):
    os.truncate(path, 0)

@dspex.command
def truncate_by_reading(path):
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))

@dspex.command
def where():
    return [os.path.expanduser("~"), tempfile.gettempdir(), os.getcwd()]

@dspex.command
def fill(megabytes, named):
    os.chdir(os.path.expanduser("~"))
    files = []
    for number in range(megabytes):
        file = open(f"{number}", "wb") if named else tempfile.TemporaryFile()
        file.write(b"x" * (1 << 20))
        file.flush()
        files.append(file)
    time.sleep(60)

@dspex.command
def nest(depth):
    os.chdir(os.path.expanduser("~"))
    for _ in range(depth):
        os.mkdir("deep")
        os.chdir("deep")
    time.sleep(60)

@dspex.command
def call_as_x32():
    import ctypes
    return ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39))

@dspex.command
def answer_for_the_node():
    """Descriptors by which a program could answer its own questions."""
    # One of them is the listing's own, which is closed by now.
    names = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return [os.readlink(name) for name in names if os.path.exists(name) and "seccomp" in os.readlink(name)]
"#;

/// A worker that serves commands, in a sandbox or not.
struct Subject {
    zygotes: Zygotes,
    worker: WorkerProcess,
    directory: tempfile::TempDir,
    next: u64,
}

/// A runtime in a directory, with its program in `program` and everything else hidden.
fn runtime(directory: &Path, settings: Settings, endpoints: Endpoints, kernel: Kernel, hidden: &[PathBuf]) -> Zygotes {
    let program = directory.join("program");
    std::fs::create_dir_all(&program).expect("made");
    std::fs::write(program.join("commands.py"), COMMANDS).expect("written");
    std::fs::write(program.join("data.txt"), "of the program").expect("written");
    std::fs::write(directory.join("secret"), "of the node").expect("written");
    let package = Package::unpack(&directory.join("runtime")).expect("unpacked");
    let instance = format!("sandbox-{}-{:?}", std::process::id(), Instant::now());
    let registry = Registry::open(&directory.join("processes"), &instance).expect("a registry");
    let setup = SandboxSetup {
        settings,
        directories: directory.join("workers"),
        hidden: [&[directory.join("processes")], hidden].concat(),
        programs: vec![program],
        interpreters: vec![interpreter()],
        environment: environment(),
        endpoints,
        ..SandboxSetup::default()
    };
    let sandbox = Sandbox::start(setup, kernel).expect("started");
    Zygotes::new(package, registry, Limits::default(), Some(sandbox))
}

impl Subject {
    async fn new(settings: Settings) -> Self {
        Self::on(settings, Endpoints::default(), Kernel::gather()).await
    }

    async fn on(settings: Settings, endpoints: Endpoints, kernel: Kernel) -> Self {
        Self::beside(settings, endpoints, kernel, &[]).await
    }

    /// With something more that is hidden.
    async fn beside(settings: Settings, endpoints: Endpoints, kernel: Kernel, hidden: &[PathBuf]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let zygotes = runtime(directory.path(), settings, endpoints, kernel, hidden);
        let zygote = zygotes.zygote(&interpreter(), &environment()).await.expect("a zygote");
        let program = directory.path().join("program");
        let mut worker = zygote.fork("w1", &environment(), &program, "test").await.expect("a worker");
        let serve = Serve {
            traces: false,
            protocol: PROTOCOL_VERSION,
            pool: "general".to_owned(),
            threads: 1,
            commands: vec!["commands.py".to_owned()],
            lm: None,
        };
        worker.handle.send(&ToWorker::Serve(serve)).await.expect("sent");
        match next_frame(&mut worker).await {
            FromWorker::Serving(_) => {}
            other => panic!("{other:?}"),
        }
        Self { zygotes, worker, directory, next: 0 }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    async fn begin(&mut self, command: &str, arguments: Value) -> u64 {
        self.next += 1;
        let call = Call {
            id: self.next,
            command: command.to_owned(),
            arguments: arguments.to_string().into_bytes().into(),
            traceparent: None,
            session: None,
        };
        self.worker.handle.send(&ToWorker::Calls(Calls { calls: vec![call] })).await.expect("sent");
        self.next
    }

    /// The result, or what was raised.
    async fn call(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        let id = self.begin(command, arguments).await;
        loop {
            if let FromWorker::Replies(replies) = next_frame(&mut self.worker).await {
                let reply = replies.replies.into_iter().find(|reply| reply.id == id).expect("the reply");
                return match reply.outcome {
                    Outcome::Done(result) => Ok(serde_json::from_slice(&result).expect("JSON")),
                    Outcome::Failed(failure) => Err(format!("{}: {}", failure.exception, failure.message)),
                    other => panic!("{other:?}"),
                };
            }
        }
    }

    #[track_caller]
    fn refused(told: &Result<Value, String>, phrases: &[&str]) {
        let told = told.as_ref().expect_err("it was let through");
        for phrase in phrases {
            assert!(told.contains(phrase), "{phrase:?} is not in {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_the_programs_and_the_workers_own_and_no_others() {
    let scratch = tempfile::tempdir().expect("a directory");
    let scratch_path = scratch.path().to_str().expect("UTF-8").to_owned();
    let settings = Settings { writable: vec![scratch.path().to_owned()], ..Settings::default() };
    let mut subject = Subject::new(settings).await;
    assert_eq!(subject.call("read", json!({"path": "data.txt"})).await, Ok(json!("of the program")));
    let places = subject.call("where", json!({})).await.expect("said");
    let own = places[0].as_str().expect("a path").to_owned();
    assert!(own.starts_with(&subject.path("workers")) && places[1] == json!(format!("{own}/tmp")), "{places}");
    assert_eq!(places[2], json!(subject.path("program")));
    for name in ["note", "tmp/note"] {
        subject.call("write", json!({"path": format!("{own}/{name}")})).await.expect("its own");
    }
    subject.call("write", json!({"path": format!("{scratch_path}/note")})).await.expect("named in the settings");
    for hidden in [subject.path("secret"), "/etc/passwd".to_owned(), "/proc/1/status".to_owned()] {
        let told = subject.call("read", json!({"path": hidden})).await;
        Subject::refused(&told, &["PermissionError", "does not let programs read", &hidden, "`readable` in [sandbox]"]);
    }
    let told = subject.call("write", json!({"path": subject.path("program/data.txt")})).await;
    Subject::refused(&told, &["PermissionError", &own, "`writable` in [sandbox]"]);
    // It is gone with its worker.
    subject.worker.handle.kill();
    end_of(&mut subject.worker).await;
    eventually("its directory is removed", || !Path::new(&own).exists()).await;
    subject.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_hidden_among_the_systems_programs_is_not_read() {
    let place = match tempfile::tempdir_in("/usr/local") {
        Ok(place) => place,
        Err(error) => return eprintln!("skipped: only root writes in /usr/local ({error})"),
    };
    std::fs::create_dir(place.path().join("data")).expect("made");
    for name in ["data/token", "node.key", "library.py"] {
        std::fs::write(place.path().join(name), "of this machine").expect("written");
    }
    // Its name says nothing of where it lies.
    let links = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink(place.path().join("data"), links.path().join("data")).expect("linked");
    std::os::unix::fs::symlink(place.path().join("data"), place.path().join("also-data")).expect("linked");
    let path = |name: &str| json!({"path": place.path().join(name)});
    let hidden = [links.path().join("data"), place.path().join("node.key")];
    for (hidden, is_readable) in [(&hidden[..], false), (&[], true)] {
        let (settings, endpoints) = (Settings::default(), Endpoints::default());
        let mut subject = Subject::beside(settings, endpoints, Kernel::gather(), hidden).await;
        for name in ["data/token", "also-data/token", "node.key"] {
            let told = subject.call("read", path(name)).await;
            if is_readable {
                assert_eq!(told, Ok(json!("of this machine")), "{name}: the attempt proves nothing");
            } else {
                Subject::refused(&told, &["PermissionError", "does not let programs read"]);
            }
        }
        assert_eq!(subject.call("read", path("library.py")).await, Ok(json!("of this machine")));
        assert_eq!(subject.call("signal_child", json!({})).await, Ok(json!(-9)), "programs of the system are executed");
        subject.zygotes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modes_change_of_its_own_files_only() {
    let mut subject = Subject::new(Settings::default()).await;
    let own = subject.call("where", json!({})).await.expect("said")[0].as_str().expect("a path").to_owned();
    subject.call("write", json!({"path": format!("{own}/note")})).await.expect("its own");
    for path in [format!("{own}/note"), format!("{own}/tmp/../note")] {
        assert_eq!(subject.call("change_mode", json!({"path": path, "mode": 0o400})).await, Ok(json!(0o400)));
    }
    // A directory stays its node's to measure and to remove.
    let directory = subject.call("change_mode", json!({"path": format!("{own}/tmp"), "mode": 0})).await;
    assert_eq!(directory, Ok(json!(0o700)));
    let secret = subject.path("secret");
    let before = std::fs::metadata(&secret).expect("there").permissions();
    for path in [secret.clone(), format!("{own}/../../secret"), subject.path("program/data.txt")] {
        let told = subject.call("change_mode", json!({"path": path, "mode": 0o777})).await;
        Subject::refused(&told, &["PermissionError"]);
    }
    assert_eq!(std::fs::metadata(&secret).expect("there").permissions(), before);
    subject.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_of_files_that_are_read_are_not_changed() {
    let mut subject = Subject::new(Settings::default()).await;
    let file = std::fs::File::open(subject.path("program/data.txt")).expect("there");
    let Ok(flags) = rustix::fs::ioctl_getflags(&file) else {
        return eprintln!("skipped: files have no flags here");
    };
    // Who owns it may, though it be opened to read.
    rustix::fs::ioctl_setflags(&file, flags).expect("the attempt proves nothing");
    for path in [subject.path("program/data.txt"), "/usr/lib/os-release".to_owned()] {
        let told = subject.call("change_flags", json!({"path": path})).await;
        Subject::refused(&told, &["Inappropriate ioctl for device"]);
    }
    subject.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_go_everywhere_but_to_the_node() {
    let (own, other) =
        (TcpListener::bind("127.0.0.1:0").expect("a port"), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    let endpoints = Endpoints { of_callers: vec![port(&own)], of_peers: vec![] };
    let mut subject = Subject::on(Settings::default(), endpoints, Kernel::gather()).await;
    for wait in [false, true] {
        let told = subject.call("connect", json!({"host": "127.0.0.1", "port": port(&other), "wait": wait})).await;
        assert_eq!(told, Ok(json!(wait)), "and the socket waits as before");
    }
    for host in ["127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"] {
        let told = subject.call("connect", json!({"host": host, "port": port(&own)})).await;
        Subject::refused(&told, &["PermissionError", "neither to nodes"]);
    }
    for host in ["169.254.169.254", "fd00:ec2::254"] {
        let told = subject.call("connect", json!({"host": host, "port": 80})).await;
        Subject::refused(&told, &["PermissionError", "metadata services"]);
    }
    // A port where nobody listens is told as it is.
    drop(other);
    let unix = UnixListener::bind(subject.path("socket")).expect("a socket");
    let told = subject.call("connect_unix", json!({"path": subject.path("socket")})).await;
    Subject::refused(&told, &["PermissionError", "sockets of other programs"]);
    drop(unix);
    assert_eq!(subject.call("answer_for_the_node", json!({})).await, Ok(json!([])), "the node alone answers");
    subject.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_network_nothing_connects() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut subject = Subject::new(Settings { network: Network::None, ..Settings::default() }).await;
    for host in ["127.0.0.1", "::1"] {
        let told = subject.call("connect", json!({"host": host, "port": port})).await;
        Subject::refused(&told, &["PermissionError", "network = \"none\""]);
    }
    subject.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_landlock_holds_as_well() {
    // What this kernel has more is left unused.
    for version in [1, 2, 5] {
        let kernel = Kernel { landlock: Kernel::gather().landlock.map(|_| version), ..Kernel::gather() };
        let mut subject = Subject::on(Settings::default(), Endpoints::default(), kernel).await;
        let own = subject.call("where", json!({})).await.expect("said")[0].as_str().expect("a path").to_owned();
        let zygote = subject.zygotes.zygote(&interpreter(), &environment()).await.expect("a zygote").fingerprint().pid;
        let told = subject.call("signal_process", json!({"pid": zygote})).await;
        Subject::refused(&told, &["PermissionError"]);
        let told = subject.call("signal_process", json!({"pid": -1})).await;
        Subject::refused(&told, &["PermissionError"]);
        assert_eq!(subject.call("signal_child", json!({})).await, Ok(json!(-9)), "its own children it may");
        let secret = subject.path("secret");
        let told = subject.call("truncate", json!({"path": secret})).await;
        Subject::refused(&told, &["PermissionError"]);
        let told = subject.call("truncate_by_reading", json!({"path": subject.path("program/data.txt")})).await;
        Subject::refused(&told, &["PermissionError"]);
        let told = subject.call("read", json!({"path": secret})).await;
        Subject::refused(&told, &["PermissionError"]);
        assert_eq!(std::fs::read(&secret).expect("there"), b"of the node");
        subject.call("write", json!({"path": format!("{own}/note")})).await.expect("its own");
        subject.zygotes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_more_on_the_disk_than_it_may_is_ended_and_told_why() {
    for (command, arguments, says) in [
        ("fill", json!({"megabytes": 40, "named": true}), "limit is 16 MiB"),
        ("fill", json!({"megabytes": 40, "named": false}), "limit is 16 MiB"),
        ("nest", json!({"depth": 300}), "deeper directories"),
    ] {
        let mut subject = Subject::new(Settings { disk_bytes: 16 << 20, ..Settings::default() }).await;
        subject.begin(command, arguments).await;
        let ended = end_of(&mut subject.worker).await;
        assert!(matches!(&ended.reason, EndReason::BeyondLimit(why) if why.contains(says)), "{command}: {ended:?}");
        assert!(ended.to_string().contains("disk in [sandbox]"), "{ended}");
        subject.zygotes.stop().await;
    }
}

#[cfg(target_arch = "x86_64")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_another_machine_ends_the_worker_which_is_told() {
    let mut subject = Subject::new(Settings::default()).await;
    subject.begin("call_as_x32", json!({})).await;
    let ended = end_of(&mut subject.worker).await;
    assert_eq!((ended.signal, &ended.reason), (Some(31), &EndReason::Exited));
    assert!(ended.to_string().contains("its sandbox does not judge"), "{ended}");
    subject.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_machine_without_landlock_no_worker_is_forked() {
    let directory = tempfile::tempdir().expect("a directory");
    let kernel = Kernel { landlock: Err("Function not implemented".to_owned()), ..Kernel::gather() };
    let zygotes = runtime(directory.path(), Settings::default(), Endpoints::default(), kernel, &[]);
    let zygote = zygotes.zygote(&interpreter(), &environment()).await.expect("a zygote");
    match zygote.fork("w1", &environment(), directory.path(), "test").await {
        Err(ForkError::NotConfined(why)) => assert!(why.contains("Landlock (Function not implemented)"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(zygote.workers(), 0);
    zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interpreter_that_a_caller_names_is_not_started() {
    let directory = tempfile::tempdir().expect("a directory");
    let zygotes = runtime(directory.path(), Settings::default(), Endpoints::default(), Kernel::gather(), &[]);
    match zygotes.zygote(Path::new("/usr/bin/false"), &environment()).await {
        Err(StartError::NotOurs(why)) => assert!(why.contains("/usr/bin/false is not"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_does_not_apply_its_sandbox_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let zygotes = runtime(directory.path(), Settings::default(), Endpoints::default(), Kernel::gather(), &[]);
    // As if the package were another one: it says that it has applied everything, and has not.
    let unpacked = std::fs::read_dir(directory.path().join("runtime")).expect("unpacked");
    let package = unpacked.flatten().next().expect("a package").path();
    let module = package.join("dspex/runtime/sandbox.py");
    let text = std::fs::read_to_string(&module).expect("a module");
    let steps = "{\"applied\": [\"limits\", \"privileges\", \"landlock\", \"seccomp\"], \"listener\": 0}";
    let lying = format!("def apply(order):\n    return {steps}\ndef give_up_privileges():\n    pass\napplied = None\n");
    // Of the same length: what differs in length is put back.
    let padded = format!("{lying}#{}", "x".repeat(text.len() - lying.len() - 1));
    std::fs::write(&module, padded).expect("written");
    let zygote = zygotes.zygote(&interpreter(), &environment()).await.expect("a zygote");
    let refused = zygote.fork("w1", &environment(), directory.path(), "test").await;
    match refused {
        Err(ForkError::NotConfined(why)) => assert!(why.contains("the kernel says"), "{why}"),
        other => panic!("{other:?}"),
    }
    eventually("no worker is left", || zygote.workers() == 0).await;
    zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sandbox_costs_at_the_start_is_measured() {
    const WORKERS: u32 = 20;
    let directory = tempfile::tempdir().expect("a directory");
    let sandboxed = runtime(directory.path(), Settings::default(), Endpoints::default(), Kernel::gather(), &[]);
    let free = crate::support::Runtime::new();
    let mut took = Vec::new();
    for zygotes in [&free.zygotes, &sandboxed] {
        let zygote = zygotes.zygote(&interpreter(), &environment()).await.expect("a zygote");
        let mut workers = Vec::new();
        let mut times: Vec<Duration> = Vec::new();
        for number in 0..WORKERS {
            let began = Instant::now();
            let id = format!("w{number}");
            let mut worker = zygote.fork(&id, &environment(), directory.path(), "test").await.expect("a worker");
            crate::support::ping(&mut worker).await;
            times.push(began.elapsed());
            workers.push(worker);
        }
        times.sort();
        took.push(times[times.len() / 2]);
        assert_eq!(zygote.workers(), WORKERS as usize, "all of them live");
    }
    eprintln!(
        "from the order to the first answer, median of {WORKERS}: {:?} without, {:?} with a sandbox",
        took[0], took[1]
    );
    sandboxed.stop().await;
    free.zygotes.stop().await;
}
