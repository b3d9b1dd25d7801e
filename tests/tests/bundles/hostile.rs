//! Bundles that were made to do harm, sent straight to the API by somebody who may submit.

use dspex_api::v1::{
    Caller, Column, EvaluationSpec, FileDataset, RequestId, ShippedCode, SubmitRunRequest, SubmitRunResponse,
    evaluation_spec,
};
use dspex_api::{ApiError, Bytes, CHUNK_LIMIT_BYTES, Client, Part, reason};

use crate::archive::{Kind, bundle};
use crate::subject::Node;

const PROGRAM: &[u8] =
    b"import dspy\nclass P(dspy.Module):\n    def forward(self, n):\n        return dspy.Prediction(n=n)\n\
program = P()\ndef metric(e, p):\n    return 1\n";

async fn put(client: &Client, bytes: Vec<u8>) -> Result<String, ApiError> {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let bytes = Bytes::from(bytes);
    let sending = async {
        for start in (0..bytes.len()).step_by(CHUNK_LIMIT_BYTES) {
            let chunk = bytes.slice(start..bytes.len().min(start + CHUNK_LIMIT_BYTES));
            if sender.send(Part::Chunk(chunk)).await.is_err() {
                return;
            }
        }
        let _ = sender.send(Part::End).await;
    };
    let (stored, ()) = tokio::join!(client.put_blob_stream(receiver), sending);
    Ok(stored?.digest)
}

/// Submits a run with this code.
async fn submit(client: &Client, shipped: ShippedCode) -> Result<SubmitRunResponse, ApiError> {
    let digest = put(client, b"{\"n\": 1}\n".to_vec()).await?;
    let columns = vec![Column { name: "n".to_owned(), first_row_without: 0 }];
    let file = FileDataset { digest, name: "rows".to_owned(), examples: 1, columns, ..FileDataset::default() };
    let evaluation = EvaluationSpec {
        program: "qa.py:program".to_owned(),
        metric: "qa.py:metric".to_owned(),
        dataset: Some(evaluation_spec::Dataset::File(file)),
        shipped: Some(shipped),
        ..EvaluationSpec::default()
    };
    let id = || uuid::Uuid::now_v7().to_string();
    let request = SubmitRunRequest {
        request_id: Some(RequestId { client: id(), request: id() }),
        caller: Some(Caller { directory: "/nowhere".to_owned(), ..Caller::default() }),
        evaluation: Some(evaluation),
        detach: true,
        ..SubmitRunRequest::default()
    };
    client.submit(request).await
}

fn code(bundle: String) -> ShippedCode {
    ShippedCode { bundle, environment: "default".to_owned(), ..ShippedCode::default() }
}

fn submitted(node: &Node, bytes: Vec<u8>) -> Result<SubmitRunResponse, ApiError> {
    node.ask(async |client| {
        let digest = put(&client, bytes).await?;
        submit(&client, code(digest)).await
    })
}

#[test]
fn what_leads_out_of_its_root_is_refused_by_name_and_nothing_is_written() {
    let node = Node::start();
    let outside = node.directory.path().join("escaped");
    let shown = outside.display().to_string();
    let deep = format!("{}escaped", "../".repeat(4));
    let qa = ("qa.py", Kind::File(PROGRAM));
    for (entries, named) in [
        (vec![("../escaped", Kind::File(b"x")), qa], "../escaped"),
        (vec![(shown.as_str(), Kind::File(b"x")), qa], shown.as_str()),
        (vec![("a/../../escaped", Kind::File(b"x")), qa], "a/../../escaped"),
        (vec![("a\0b", Kind::File(b"x")), qa], "NUL"),
        (vec![("", Kind::File(b"x")), qa], "is empty"),
        (vec![("link", Kind::Link("/etc")), qa], "link"),
        (vec![("link", Kind::Link(&deep)), qa], "leads out of the project"),
        (vec![("here", Kind::Link(".")), ("out", Kind::Link("here/../escaped")), qa], "out"),
        (vec![("loop", Kind::Link("loop")), qa], "leads to itself"),
        (vec![("d", Kind::Link("e")), ("d/x", Kind::File(b"x")), qa], "beneath"),
        (vec![("QA.py", Kind::File(b"x")), qa], "QA.py"),
        (vec![qa, qa], "stands twice"),
        (vec![qa, ("a.py", Kind::File(b"x"))], "not in its place"),
        (vec![("device", Kind::Other(7)), qa], "unknown kind 7"),
    ] {
        let error = submitted(&node, bundle(&entries)).expect_err(named);
        assert_eq!(error.reason, reason::BUNDLE_INVALID, "{named}: {error:?}");
        assert!(error.message.contains(named), "{named:?} is not in {}", error.message);
    }
    assert!(!outside.exists() && node.unpacked() == 0, "something was written");
    // The control: the same bundle without what is wrong is executed.
    let good = submitted(&node, bundle(&[("a/x", Kind::File(b"x")), ("link", Kind::Link("a/x")), qa])).expect("taken");
    assert!(good.run.is_some() && node.unpacked() == 1);
}

#[test]
fn bombs_are_refused_by_what_they_promise() {
    let node = Node::with("[bundles]\nsize_max = \"1MiB\"\n");
    let promise = bundle(&[("large", Kind::Promise(1 << 40)), ("qa.py", Kind::File(PROGRAM))]);
    let error = submitted(&node, promise).expect_err("refused");
    assert_eq!(error.reason, reason::TOO_LARGE, "{error:?}");
    let names: Vec<String> = (0..20_001).map(|number| format!("f{number:05}")).collect();
    let many: Vec<(&str, Kind<'_>)> = names.iter().map(|name| (name.as_str(), Kind::File(b""))).collect();
    let error = submitted(&node, bundle(&many)).expect_err("refused");
    assert_eq!(error.reason, reason::TOO_LARGE, "{error:?}");
    assert!(error.message.contains("20001"), "{}", error.message);
    let contents = vec![0; (1 << 20) + 1];
    let error = submitted(&node, bundle(&[("large", Kind::File(&contents))])).expect_err("refused");
    assert_eq!(error.reason, reason::TOO_LARGE);
    // Larger than any list of files with any contents: it is not even read.
    let error = submitted(&node, vec![b'x'; 64 << 20]).expect_err("refused");
    assert!(error.message.contains("bundles.size_max"), "{}", error.message);
    assert_eq!(node.unpacked(), 0);
    let small = bundle(&[("qa.py", Kind::File(PROGRAM))]);
    assert!(submitted(&node, small).is_ok());
}

#[test]
fn what_is_no_bundle_or_cut_or_nowhere_is_refused() {
    let node = Node::start();
    let whole = bundle(&[("qa.py", Kind::File(PROGRAM))]);
    for bytes in [b"PK\x03\x04".to_vec(), Vec::new(), whole[..whole.len() - 1].to_vec(), whole[..20].to_vec()] {
        assert_eq!(submitted(&node, bytes).expect_err("refused").reason, reason::BUNDLE_INVALID);
    }
    let nowhere = node.ask(async |client| submit(&client, code("0".repeat(64))).await).expect_err("refused");
    assert_eq!(nowhere.reason, reason::BUNDLE_MISSING);
    let nonsense = node.ask(async |client| submit(&client, code("nonsense".to_owned())).await).expect_err("refused");
    assert_eq!(nonsense.reason, reason::REQUEST_INVALID);
}

#[test]
fn paths_beside_the_bundle_are_judged_as_well() {
    let node = Node::start();
    let with = |change: &dyn Fn(ShippedCode) -> ShippedCode| {
        node.ask(async |client| {
            let digest = put(&client, bundle(&[("a/x.py", Kind::File(b"")), ("qa.py", Kind::File(PROGRAM))])).await?;
            submit(&client, change(code(digest))).await
        })
    };
    for directory in ["..", "/etc", "a/..", "a/x.py", "missing", "a\0"] {
        let error = with(&|code| ShippedCode { directory: directory.to_owned(), ..code }).expect_err(directory);
        assert_eq!(error.reason, reason::REQUEST_INVALID, "{directory}: {error:?}");
    }
    for path in ["../..", "/etc"] {
        let error = with(&|code| ShippedCode { path: vec![path.to_owned()], ..code }).expect_err(path);
        assert_eq!(error.reason, reason::REQUEST_INVALID, "{path}: {error:?}");
    }
    let many = vec!["a".to_owned(); 1000];
    assert!(with(&|code| ShippedCode { path: many.clone(), ..code }).is_err());
    let unsaid = with(&|code| ShippedCode { environment: String::new(), ..code }).expect_err("no fingerprint");
    assert_eq!(unsaid.reason, reason::REQUEST_INVALID);
    let unknown = with(&|code| ShippedCode { environment: "../default".to_owned(), ..code }).expect_err("no such name");
    assert_eq!(unknown.reason, reason::ENVIRONMENT_NOT_FOUND);
    assert!(
        with(&|code| ShippedCode { directory: String::new(), path: vec!["a".to_owned(), String::new()], ..code })
            .is_ok()
    );
}

#[test]
fn what_a_program_writes_into_its_project_reaches_no_other_run() {
    // Without a sandbox, and as root, it does write: the node sees that, and unpacks the project anew.
    for sandbox in ["on", "off"] {
        spoil(&Node::with(&format!("[sandbox]\nmode = \"{sandbox}\"\n")));
    }
}

fn spoil(node: &Node) {
    let spoiling = b"import os, dspy\nplace = os.path.join(os.getcwd(), 'left.py')\nfound = os.path.exists(place)\n\
try:\n    open(place, 'w').write('x = 1')\nexcept OSError:\n    pass\n\
class P(dspy.Module):\n    def forward(self, n):\n        return dspy.Prediction(n=n)\n\
program = P()\ndef metric(e, p):\n    return 0 if found else 1\n";
    for _ in 0..3 {
        // The check and the first worker are one process, so that a score of 1 says that nothing lay there before.
        let answer = submitted(node, bundle(&[("qa.py", Kind::File(spoiling))])).expect("taken");
        let run = answer.run.expect("a run").run_id;
        let ended = dspex_tests::wait_until("the run has ended", std::time::Duration::from_secs(60), || {
            Some(node.run(&run)).filter(|run| run.ended_unix_ms > 0)
        });
        assert_eq!(ended.score, Some(100.0), "{ended:?}");
    }
}

#[test]
fn an_embedded_node_takes_no_code() {
    let home = dspex_tests::Home::new();
    home.dspex(&["run", "list"]).run().expect(0);
    home.dspex(&["pool", "call", "general", "ping", "1"]).run().expect(0);
    let refused = home.ask(async |client| submit(&client, code(String::new())).await).expect_err("refused");
    assert_eq!(refused.reason, reason::REQUEST_INVALID);
    assert!(refused.message.contains("embedded"), "{}", refused.message);
}
