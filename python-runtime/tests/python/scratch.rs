use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use dspex_python::protocol::*;
use dspex_python::*;
use dspex_sandbox::{Endpoints, Kernel, Settings};
use serde_json::{Value, json};
use crate::support::*;

struct S { worker: WorkerProcess, next: u64 }
impl S {
    async fn start(z: &Zygotes, id: &str, dir: &std::path::Path) -> Self {
        let zygote = z.zygote(&interpreter(), &environment()).await.expect("zygote");
        let mut worker = zygote.fork(id, &environment(), dir, "test").await.expect("worker");
        let serve = Serve { protocol: 1, pool: "general".into(), threads: 1, commands: vec!["attempts.py".into(), "ordinary.py".into()], lm: None };
        worker.handle.send(&ToWorker::Serve(serve)).await.expect("sent");
        match next_frame(&mut worker).await { FromWorker::Serving(_) => {}, o => panic!("{o:?}") }
        S { worker, next: 0 }
    }
    async fn call(&mut self, command: &str, arguments: &Value) -> Result<Result<Value, String>, String> {
        self.next += 1;
        let call = Call { id: self.next, command: command.into(), arguments: arguments.to_string().into_bytes().into(), traceparent: None };
        self.worker.handle.send(&ToWorker::Calls(Calls { calls: vec![call] })).await.expect("sent");
        loop {
            match next(&mut self.worker).await {
                WorkerEvent::Ended(e) => return Err(e.to_string()),
                WorkerEvent::Frame(FromWorker::Replies(r)) => {
                    let reply = r.replies.into_iter().next().unwrap();
                    return Ok(match reply.outcome { Outcome::Done(b) => Ok(serde_json::from_slice(&b).unwrap()), Outcome::Failed(f) => Err(format!("{}: {}", f.exception, f.message)), o => panic!("{o:?}") });
                }
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts() {
    let d = tempfile::tempdir().unwrap();
    let root = d.path().canonicalize().unwrap();
    let app = root.join("app");
    for x in ["app", "elsewhere", "node/data"] { std::fs::create_dir_all(root.join(x)).unwrap(); }
    for f in ["attempts.py", "ordinary.py"] { std::fs::copy(format!("{}/../tests/tests/sandbox/{f}", env!("CARGO_MANIFEST_DIR")), app.join(f)).unwrap(); }
    for (f, t) in [("app/data.txt", "of the program"), ("app/victim.txt", "x"), ("elsewhere/secret.txt", "secret"), ("node/data/token", "token"), ("node/dspex.toml", "x")] { std::fs::write(root.join(f), t).unwrap(); }
    let listen = || { let l = TcpListener::bind("127.0.0.1:0").unwrap(); let p = l.local_addr().unwrap().port(); let t = l.try_clone().unwrap(); std::thread::spawn(move || t.incoming().for_each(drop)); (l, p) };
    let (_a, api) = listen(); let (_b, peers) = listen(); let (_c, other) = listen();
    let _u = UnixListener::bind(root.join("elsewhere/stream")).unwrap();
    let _g = UnixDatagram::bind(root.join("elsewhere/datagrams")).unwrap();
    let name = format!("dspex-scratch-{api}");
    let _abs = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let package = || Package::unpack(&root.join("runtime")).unwrap();
    let reg = |n: &str| Registry::open(&root.join(format!("processes-{n}")), &format!("{n}-{}", std::process::id())).unwrap();
    let p = |n: &str| json!({"path": root.join(n)});
    let to = |h: &str, port: u16| json!({"host": h, "port": port});
    let pid = std::process::id();
    let only = std::env::var("ONLY").ok();
    for on in [true, false] {
        let z = if on {
            let settings = Settings { processes: 64, open_files: 256, file_bytes: 8 << 20, disk_bytes: 24 << 20, ..Settings::default() };
            let setup = SandboxSetup { settings, directories: root.join("node/data/workers"), hidden: vec![root.join("node/data"), root.join("node/dspex.toml")], programs: vec![app.clone()], interpreters: vec![interpreter()], environment: environment(), endpoints: Endpoints { of_callers: vec![api], of_peers: vec![peers] }, ..SandboxSetup::default() };
            Zygotes::new(package(), reg("on"), Limits::default(), Some(Sandbox::start(setup, Kernel::gather()).unwrap()))
        } else { Zygotes::new(package(), reg("off"), Limits::default(), None) };
        let seconds = if on { 25 } else { 0 };
        let mut table: Vec<(&str, Value)> = vec![
            ("read", json!({"path": "/etc/passwd"})), ("read", p("node/data/token")), ("read", p("node/dspex.toml")), ("read", p("elsewhere/secret.txt")),
            ("list_directory", p("node/data")), ("list_directory", json!({"path": "/tmp"})), ("list_directory", json!({"path": "/proc"})), ("list_beside_home", json!({})),
            ("read_through_link", p("elsewhere/secret.txt")), ("read_through_proc", p("elsewhere/secret.txt")), ("read_through_hard_link", p("elsewhere/secret.txt")), ("read_in_child", p("elsewhere/secret.txt")),
            ("write", p("elsewhere/secret.txt")), ("write", p("node/data/mine")), ("write", p("app/mine")), ("rename", p("elsewhere/secret.txt")), ("truncate", p("elsewhere/secret.txt")), ("truncate_by_reading", p("app/victim.txt")),
            ("change_mode", p("node/data/token")), ("change_mode_of_opened", p("node/data/token")), ("change_mode_beside_home", p("node/data/token")), ("change_time", p("node/data/token")), ("change_owner", p("elsewhere/secret.txt")), ("watch_directory", p("node/data")),
            ("connect", to("127.0.0.1", api)), ("connect", to("127.0.0.1", peers)), ("connect", to("0.0.0.0", api)), ("connect", to("::ffff:127.0.0.1", api)), ("connect_and_wait", to("127.0.0.1", peers)), ("connect_in_child", to("127.0.0.1", peers)), ("connect_by_sending", to("127.0.0.1", api)),
            ("connect_while_changing", json!({"host": "127.0.0.1", "port": api, "other": other})),
            ("reach_metadata", json!({"host": "169.254.169.254"})), ("reach_metadata", json!({"host": "::ffff:169.254.169.254"})), ("reach_metadata", json!({"host": "fd00:ec2::254"})), ("send_datagram", to("169.254.169.254", 80)), ("send_message", to("169.254.169.254", 80)),
            ("connect_unix", p("elsewhere/stream")), ("connect_abstract", json!({"name": name})), ("send_unix_datagram", p("elsewhere/datagrams")), ("open_netlink", json!({})), ("open_raw", json!({})),
            ("read", json!({"path": format!("/proc/{pid}/cmdline")})), ("read", json!({"path": format!("/proc/{pid}/environ")})), ("signal_process", json!({"pid": pid})), ("signal_parent", json!({})), ("signal_by_descriptor", json!({"pid": pid})),
            ("trace_parent", json!({})), ("read_memory_of_parent", json!({})), ("call_into_parent", json!({})), ("take_descriptor_of_parent", json!({})), ("limit_parent", json!({})), ("slow_parent", json!({})), ("bind_parent_to_a_cpu", json!({})),
            ("unshare_users", json!({})), ("unshare_mounts", json!({})), ("clone_users", json!({})), ("mount", json!({})), ("share_memory", json!({})), ("add_key", json!({})), ("set_up_ring", json!({})), ("count_cycles", json!({})), ("change_personality", json!({})), ("call_as_x32", json!({})), ("call_as_32_bit", json!({})),
            ("fork_many", json!({"count": 100})), ("start_many_threads", json!({"count": 100})), ("open_many", json!({"count": 400})), ("write_long_file", json!({"megabytes": 20})),
            ("fill_disk", json!({"megabytes": 60, "seconds": seconds})), ("fill_disk_without_names", json!({"megabytes": 60, "seconds": seconds})),
        ];
        if on {
            for (c, a) in [("predict", json!({"question": "2+2?"})), ("compute", json!({})), ("read_beside_program", json!({"name": "data.txt"})), ("use_temporary_files", json!({})), ("where", json!({})), ("use_git", json!({})), ("run_python", json!({})), ("run_shell", json!({})), ("use_threads", json!({"count": 16})), ("use_database", json!({})), ("trust_the_system", json!({})), ("resolve", json!({"name": "localhost"})), ("talk_to_itself", json!({})), ("end_a_child", json!({})), ("look_at_itself", json!({}))] { table.push((c, a)); }
        }
        let mut n = 0;
        let mut s = S::start(&z, &format!("w{on}{n}"), &app).await;
        for (c, a) in table {
            if only.as_ref().is_some_and(|o| o != c) { continue; }
            let began = std::time::Instant::now();
            let r = s.call(c, &a).await;
            let line = match &r { Ok(Ok(v)) => format!("OK   {v}"), Ok(Err(e)) => format!("ERR  {}", e.replace('\n', " | ")), Err(e) => format!("DEAD {e}") };
            println!("{} {c:28} {:6.1}ms {line}", if on { "ON " } else { "OFF" }, began.elapsed().as_secs_f64() * 1000.0);
            if r.is_err() { n += 1; s = S::start(&z, &format!("w{on}{n}"), &app).await; }
        }
        z.stop().await;
    }
}
