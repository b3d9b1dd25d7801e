//! What ordinary programs do works as it did.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dspex_tests::{holds_within, places};
use serde_json::json;

use crate::subject::{Node, ON};

/// A web server of Python's own, with and without TLS, which answers as a language model where it is asked as one.
const SERVER: &str = r#"
import http.server, json, ssl, sys, threading

ANSWER = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "finish_reason": "stop",
    "message": {"role": "assistant", "content": "[[ ## answer ## ]]\nFour\n\n[[ ## completed ## ]]"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a page")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        told = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

plain = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
secret = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
secret.socket = context.wrap_socket(secret.socket, server_side=True)
threading.Thread(target=plain.serve_forever, daemon=True).start()
with open(sys.argv[3], "w") as told:
    told.write(f"{plain.server_port} {secret.server_port}\n")
secret.serve_forever()
"#;

struct Server {
    process: Child,
    plain: u16,
    secret: u16,
    authority: String,
}

impl Server {
    fn start(node: &Node) -> Self {
        let project = &node.project;
        let cert = node.home.dspex(&["cert", "init", "--node", "web=127.0.0.1"]);
        cert.directory(&project.path("elsewhere")).run().expect(0);
        project.file("elsewhere/server.py", SERVER);
        let own = project.path("elsewhere/certs/web");
        let process = Command::new(places::interpreter())
            .arg(project.path("elsewhere/server.py"))
            .args([own.join("node.pem"), own.join("node.key"), project.path("elsewhere/ports")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python runs");
        let ports = || -> Vec<u16> {
            let told = project.read("elsewhere/ports");
            told.split_whitespace().filter_map(|port| port.parse().ok()).collect()
        };
        assert!(holds_within(Duration::from_secs(30), || ports().len() == 2), "the server does not come up");
        let authority = project.read("elsewhere/certs/ca.pem");
        Self { process, plain: ports()[0], secret: ports()[1], authority }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn ordinary_programs_do_what_they_did() {
    let node = Node::start(ON);
    let server = Server::start(&node);
    let (plain, secret) =
        (format!("http://127.0.0.1:{}/", server.plain), format!("https://127.0.0.1:{}/", server.secret));
    for (command, arguments, expected) in [
        ("predict", json!({"question": "2 + 2?"}), json!("Four")),
        ("ask_model", json!({"base": format!("{plain}v1")}), json!("Four")),
        ("tabulate", json!({}), json!(6)),
        ("use_processes", json!({}), json!(42)),
        ("read_beside_program", json!({"name": "data.txt"}), json!("of the programof the program")),
        ("use_temporary_files", json!({}), json!(true)),
        ("use_git", json!({}), json!("first")),
        ("run_python", json!({}), json!(42)),
        ("run_shell", json!({}), json!("b")),
        ("use_threads", json!({"count": 16}), json!(16)),
        ("use_database", json!({}), json!(1)),
        ("fetch", json!({"url": plain}), json!("a page")),
        ("fetch", json!({"url": secret, "authority": server.authority}), json!("a page")),
        ("fetch_asynchronously", json!({"host": "127.0.0.1", "port": server.plain}), json!("a page")),
        ("trust_the_system", json!({}), json!(true)),
        ("resolve", json!({"name": "localhost"}), json!(true)),
        ("talk_to_itself", json!({}), json!("hello")),
        ("ask_of_descriptors", json!({}), json!([3, false, false, false, "x"])),
        ("end_a_child", json!({}), json!(-9)),
        ("look_at_itself", json!({}), json!(true)),
    ] {
        assert_eq!(node.answer("general", command, &arguments), expected, "{command}");
    }
    let norm = node.answer("general", "compute", &json!({})).as_f64().expect("a number");
    assert!((norm - 573.018).abs() < 0.01, "{norm}");
    let places = node.answer("general", "where", &json!({}));
    assert_eq!(places["current"], json!(node.path("app")));
    let home = places["home"].as_str().expect("a path");
    assert_eq!(places["temporary"], json!(format!("{home}/tmp")));
    node.is_well();
}

#[test]
fn an_evaluation_runs_in_the_sandbox_as_well() {
    let node = Node::start(ON);
    node.project.file(
        "app/program.py",
        "import dspy\n\nclass Program(dspy.Module):\n    def forward(self, n):\n        return dspy.Prediction(double=2 * int(n))\n\n\
         class Reads(dspy.Module):\n    def forward(self, n):\n        return dspy.Prediction(double=open('/etc/passwd').read())\n\n\
         program, reads = Program(), Reads()\n\ndef metric(example, prediction):\n    return prediction.double == 2 * int(example.n)\n",
    );
    node.project.file("app/data.jsonl", (0..8).map(|n| format!("{{\"n\": {n}}}\n")).collect::<String>());
    let eval = |program: &str, directory: &str, more: &[&str]| {
        node.dspex(&[
            "eval",
            program,
            "--devset",
            "data.jsonl",
            "--metric",
            "program.py:metric",
            "--inputs",
            "n",
            "-o",
            "json",
        ])
        .args(more)
        .directory(&node.project.path(directory))
        .run()
    };
    let in_place = &["--in-place"][..];
    for more in [&[], in_place] {
        assert_eq!(eval("program.py:program", "app", more).expect(0).object()["score"], json!(100.0), "{more:?}");
    }
    let failed = eval("program.py:reads", "app", &[]);
    assert_eq!(failed.object()["failed"], json!(8), "{}", failed.describe());
    failed.says("does not let programs read /etc/passwd");
    // Elsewhere on the machine nothing is readable, and the caller is told why nothing is found. What is sent is.
    for name in ["program.py", "data.jsonl"] {
        node.project.file(&format!("elsewhere/{name}"), node.project.read(&format!("app/{name}")));
    }
    let elsewhere = eval("program.py:program", "elsewhere", in_place).expect(2);
    elsewhere.says("program.py").says("does not let programs read").says("`readable` in [sandbox]");
    // The node starts no interpreter that a caller brings.
    let brought = node
        .dspex(&[
            "eval",
            "program.py:program",
            "--devset",
            "data.jsonl",
            "--metric",
            "program.py:metric",
            "--python",
            "/bin/false",
            "--in-place",
        ])
        .directory(&node.project.path("app"))
        .run();
    brought.expect(2).says("/bin/false is not an interpreter of this node");
}
