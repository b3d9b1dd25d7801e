//! Golden bytes: what msgspec writes for the same values. The Python suite pins the same ones.

use std::collections::BTreeMap;

use bytes::Bytes;

use dspex_sandbox::{Limits, Order, Ruleset};

use super::*;
use crate::environment::hex;

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hex")).collect()
}

/// An encoded frame must be its length and the golden bytes.
fn check_encoded(frame: Result<Bytes, FrameError>, golden: &str) {
    let frame = frame.expect("encodes");
    assert_eq!(&frame[..4], u32::try_from(frame.len() - 4).expect("short").to_le_bytes());
    assert_eq!(hex(&frame[4..]), golden);
}

#[test]
fn a_fork_is_golden() {
    let environment = [("A".to_owned(), "b".to_owned())].into();
    let fork = Fork { worker: "w1".to_owned(), environment, directory: "/d".to_owned(), sandbox: None, protocol: 1 };
    check_encoded(
        ToZygote::Fork(Box::new(fork)).encode(),
        "920184a6776f726b6572a27731ab656e7669726f6e6d656e7481a141a162a96469726563746f7279a22f64a870726f746f636f6c01",
    );
}

#[test]
fn a_fork_into_a_sandbox_is_golden() {
    let sandbox = Order {
        own: "/o".to_owned(),
        landlock: Ruleset { handled: 65535, scoped: 3, of_files: 49159, rules: vec![("/u".to_owned(), 13)] },
        filter: vec![6, 0, 0, 0, 0, 0, 255, 127],
        limits: Limits { open_files: 1024, file_bytes: 1 << 30, processes: 600 },
        network: true,
        readable: vec!["/u".to_owned()],
        writable: vec!["/o".to_owned()],
        refused: String::new(),
    };
    let fork = Fork {
        worker: "w1".to_owned(),
        environment: BTreeMap::new(),
        directory: "/d".to_owned(),
        sandbox: Some(sandbox),
        protocol: 1,
    };
    check_encoded(ToZygote::Fork(Box::new(fork)).encode(), GOLDEN_SANDBOX);
}

/// Rights and limits are numbers, the filter is bytes.
const GOLDEN_SANDBOX: &str = "920185a6776f726b6572a27731ab656e7669726f6e6d656e7480a96469726563746f7279a22f64a773616e64626f7888a36f776ea22f6f\
     a86c616e646c6f636b84a768616e646c6564cdffffa673636f70656403a86f665f66696c6573cdc007a572756c65739192a22f750da666\
     696c746572c408060000000000ff7fa66c696d69747383aa6f70656e5f66696c6573cd0400aa66696c655f6279746573ce40000000a970\
     726f636573736573cd0258a76e6574776f726bc3a87265616461626c6591a22f75a87772697461626c6591a22f6fa772656675736564a0\
     a870726f746f636f6c01";

#[test]
fn a_stop_and_a_kill_are_golden() {
    check_encoded(ToZygote::Stop.encode(), "920380");
    check_encoded(ToWorker::Stop.encode(), "920380");
    check_encoded(ToZygote::Kill(Kill { worker: "w1".to_owned() }).encode(), "920281a6776f726b6572a27731");
}

#[test]
fn an_order_is_golden_with_arrays_and_binary_rows() {
    let example = Example { index: 7, attempt: 2, row: Bytes::from_static(b"{\"q\":1}"), traceparent: None };
    check_encoded(
        ToWorker::Execute(Execute { examples: vec![example] }).encode(),
        "920281a86578616d706c657391930702c4077b2271223a317d",
    );
}

#[test]
fn a_load_is_golden() {
    let load = Load {
        threads: 2,
        program: "a.py:p".to_owned(),
        metric: Some("m".to_owned()),
        lm: None,
        lm_settings: vec![("temperature".to_owned(), "0.5".to_owned())],
        state: None,
        inputs: Some(vec!["q".to_owned()]),
        columns: None,
        dataset: None,
        limit: Some(5),
        text_cells: true,
        failure_score: Number::Float(0.0),
        payload: None,
        root: None,
        path: None,
        protocol: 1,
    };
    check_encoded(
        ToWorker::Load(Box::new(load)).encode(),
        "92018ea77468726561647302a770726f6772616da6612e70793a70a66d6574726963a16da26c6dc0ab6c6d5f73657474696e6773\
         9192ab74656d7065726174757265a3302e35a57374617465c0a6696e7075747391a171a7636f6c756d6e73c0a764617461736574\
         c0a56c696d697405aa746578745f63656c6c73c3ad6661696c7572655f73636f7265cb0000000000000000a77061796c6f6164c0a870726f746f636f6c01",
    );
}

/// What an older worker would not know is not there where it is not needed.
#[test]
fn a_load_of_code_that_was_sent_along_is_golden() {
    let load = Load {
        threads: 1,
        program: "p".to_owned(),
        metric: None,
        lm: None,
        lm_settings: Vec::new(),
        state: None,
        inputs: None,
        columns: None,
        dataset: None,
        limit: None,
        text_cells: false,
        failure_score: Number::Float(0.0),
        payload: None,
        root: Some("/b".to_owned()),
        path: Some(vec!["/b/src".to_owned()]),
        protocol: 1,
    };
    check_encoded(
        ToWorker::Load(Box::new(load)).encode(),
        "9201de0010a77468726561647301a770726f6772616da170a66d6574726963c0a26c6dc0ab6c6d5f73657474696e677390a57374617465c0a6696e70757473c0\
         a7636f6c756d6e73c0a764617461736574c0a56c696d6974c0aa746578745f63656c6c73c2ad6661696c7572655f73636f7265cb0000000000000000\
         a77061796c6f6164c0a4726f6f74a22f62a47061746891a62f622f737263a870726f746f636f6c01",
    );
}

#[test]
fn ready_is_golden() {
    let golden = "921087a870726f746f636f6c01a37069642aa6707974686f6ea6332e31312e37aa65786563757461626c65a22f70a464737079\
                  a5332e342e31a873756d5f72756c65a5706c61696eae696d706f72745f7365636f6e6473cb3ff8000000000000";
    let ready = Ready {
        protocol: 1,
        pid: 42,
        python: "3.11.7".to_owned(),
        executable: "/p".to_owned(),
        dspy: "3.4.1".to_owned(),
        sum_rule: SumRule::Plain,
        import_seconds: 1.5,
        paths: Vec::new(),
    };
    assert_eq!(FromZygote::decode(&bytes(golden)).expect("decodes"), FromZygote::Ready(ready));
}

/// Two results, one of them a failure.
const RESULTS: &str = "921481a7726573756c7473929a0702cb3fe000000000000001c4077b2261223a317dc0c081a16d81a16b03cb3fd00000000000\
                       00cd04b09acd012c01cb000000000000000000c0c085a474797065b36275696c74696e732e56616c75654572726f72a76d\
                       657373616765a26e6fa974726163656261636ba174a466696c65a4662e7079a46c696e6503c0c009";

#[test]
fn results_are_golden_arrays() {
    let good = ExampleResult {
        index: 7,
        attempt: 2,
        score: 0.5,
        score_kind: ScoreKind::Float,
        prediction: Some(Bytes::from_static(b"{\"a\":1}")),
        canonical: None,
        failure: None,
        usage: Some(BTreeMap::from([("m".to_owned(), BTreeMap::from([("k".to_owned(), 3)]))])),
        cost_usd: Some(0.25),
        duration_us: 1200,
        returned: None,
    };
    let failure = ExampleFailure {
        exception: "builtins.ValueError".to_owned(),
        message: "no".to_owned(),
        traceback: Some("t".to_owned()),
        file: Some("f.py".to_owned()),
        line: Some(3),
    };
    let failed = ExampleResult {
        index: 300,
        attempt: 1,
        score: 0.0,
        score_kind: ScoreKind::Integral,
        prediction: None,
        failure: Some(failure),
        usage: None,
        cost_usd: None,
        duration_us: 9,
        ..good.clone()
    };
    let expected = FromWorker::Results(Results { results: vec![good, failed] });
    assert_eq!(FromWorker::decode(&bytes(RESULTS)).expect("decodes"), expected);
}

/// The frames, lengths included, that the Python suite pins in `tests/test_protocol.py`.
#[test]
fn the_python_suites_golden_frames_are_read() {
    let frame = |golden: &str| FromWorker::decode(&bytes(golden)[4..]).expect("decodes");
    let (applied, listener) = (Vec::new(), None);
    let hello = Hello { protocol: 1, worker: "w1".to_owned(), pid: 42, applied, listener };
    assert_eq!(
        frame("1c000000921083a870726f746f636f6c01a6776f726b6572a27731a37069642a"),
        FromWorker::Hello(hello.clone())
    );
    let confined = Hello { applied: vec!["limits".to_owned()], listener: Some(5), ..hello };
    let golden = "36000000921085a870726f746f636f6c01a6776f726b6572a27731a37069642aa76170706c69656491a66c696d697473a86c697374656e657205";
    assert_eq!(frame(golden), FromWorker::Hello(confined));
    let pong = Pong { payload: Bytes::from_static(b"\x00\xff") };
    assert_eq!(frame("0f000000921681a77061796c6f6164c40200ff"), FromWorker::Pong(pong));
    let result = ExampleResult {
        index: 3,
        attempt: 1,
        score: 1.0,
        score_kind: ScoreKind::Integral,
        prediction: Some(Bytes::from_static(b"{}")),
        canonical: None,
        failure: None,
        usage: Some(BTreeMap::from([("m".to_owned(), BTreeMap::from([("total_tokens".to_owned(), 2)]))])),
        cost_usd: None,
        duration_us: 77,
        returned: None,
    };
    let results = "34000000921481a7726573756c7473919b0301cb3ff000000000000000c4027b7dc0c081a16d81ac746f74616c5f746f6b656e7302c04dc0";
    assert_eq!(frame(results), FromWorker::Results(Results { results: vec![result] }));
}

#[test]
fn calls_and_their_replies_are_golden() {
    let call = |session| Call {
        id: 7,
        command: "ping".to_owned(),
        arguments: Bytes::from_static(b"1"),
        traceparent: None,
        session,
    };
    let calls = |session| ToWorker::Calls(Calls { calls: vec![call(session)] }).encode();
    check_encoded(calls(None), "920781a563616c6c73919507a470696e67c40131c0c0");
    let session = CallSession { id: "s".to_owned(), version: 3, data: Bytes::from_static(b"{}") };
    check_encoded(calls(Some(session)), "920781a563616c6c73919507a470696e67c40131c093a17303c4027b7d");
    let reply = |outcome| Reply { id: 7, outcome, duration_us: 9, cpu_us: Some(8) };
    let frame = |golden: &str| FromWorker::decode(&bytes(golden)).expect("decodes");
    let one = |outcome| FromWorker::Replies(Replies { replies: vec![reply(outcome)] });
    let done = frame("921981a77265706c69657391950700c401310908");
    assert_eq!(done, one(Outcome::Done(Bytes::from_static(b"1"))));
    let needs = frame("921981a77265706c69657391950702c401710908");
    assert_eq!(needs, one(Outcome::Needs("q".to_owned())));
    let defined =
        Outcome::Defined { result: Bytes::from_static(b"1"), name: "q".to_owned(), body: Bytes::from_static(b"2") };
    assert_eq!(frame("921981a77265706c69657391950703c40993c40131a171c401320908"), one(defined));
    let changes = SessionChanges { set: vec![("n".to_owned(), "2".to_owned())], removed: vec!["m".to_owned()] };
    let changed = Outcome::Changed { result: Bytes::from_static(b"1"), changes };
    assert_eq!(frame("921981a77265706c69657391950704c40d93c401319192a16ea13291a16d0908"), one(changed));
    let (result, trace) = (Bytes::from_static(b"1"), Bytes::from_static(b"[]"));
    let traced = |changes| Outcome::Traced { result: result.clone(), trace: trace.clone(), changes };
    assert_eq!(frame("921981a77265706c69657391950705c40993c40131c4025b5dc00908"), one(traced(None)));
    let changes = SessionChanges { set: vec![("n".to_owned(), "2".to_owned())], removed: vec!["m".to_owned()] };
    let golden = "921981a77265706c69657391950705c41293c40131c4025b5d929192a16ea13291a16d0908";
    assert_eq!(frame(golden), one(traced(Some(changes))));
}

#[test]
fn trace_contexts_travel_beside_the_examples_they_belong_to() {
    let example = |index, traceparent: Option<&str>| Example {
        index,
        attempt: 1,
        row: Bytes::new(),
        traceparent: traceparent.map(str::to_owned),
    };
    check_encoded(
        ToWorker::Execute(Execute { examples: vec![example(3, None), example(4, Some("t"))] }).encode(),
        "920282a86578616d706c657392930301c400930401c400a67472616365738104a174",
    );
}

#[test]
fn what_is_no_frame_is_refused() {
    let cases =
        ["", "90", "9210", "921481a7726573756c7473c0", "92147f", "9263c0", "93108001", "92cc8080", "921080", "91"];
    for case in cases {
        assert!(FromWorker::decode(&bytes(case)).is_err(), "{case}");
        assert!(FromZygote::decode(&bytes(case)).is_err(), "{case}");
    }
    assert!(matches!(FromWorker::decode(&bytes("926380")), Err(FrameError::UnknownKind(0x63))));
}

#[test]
fn a_result_cut_short_anywhere_is_refused_without_panic() {
    let whole = bytes(RESULTS);
    for length in 0..whole.len() {
        assert!(FromWorker::decode(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn five_thousand_results_cost_little() {
    let whole = bytes(RESULTS);
    let started = std::time::Instant::now();
    for _ in 0..2500 {
        assert!(FromWorker::decode(&whole).is_ok());
    }
    assert!(started.elapsed().as_millis() < 500, "5,000 results took {:?}", started.elapsed());
}

#[tokio::test]
async fn reads_frames_until_the_end_and_notices_a_cut() {
    let stop = ToWorker::Stop.encode().expect("encodes");
    let mut stream = stop.to_vec();
    stream.extend_from_slice(&stop);
    let mut reader = FrameReader::new(&stream[..]);
    assert_eq!(reader.next().await.expect("a frame"), Some(&stop[4..]));
    assert_eq!(reader.next().await.expect("a frame"), Some(&stop[4..]));
    assert_eq!(reader.next().await.expect("the end"), None);

    for cut in [2, 6] {
        let mut reader = FrameReader::new(&stream[..cut]);
        assert!(matches!(reader.next().await, Err(FrameError::Truncated)));
    }
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_refused_before_anything_is_allocated() {
    let mut reader = FrameReader::new(&[0xff, 0xff, 0xff, 0xff, 0x92][..]);
    assert!(matches!(reader.next().await, Err(FrameError::TooLong(length)) if length == u32::MAX as usize));
    let row = Bytes::from(vec![0; MAXIMUM_FRAME_BYTES]);
    let order = ToWorker::Execute(Execute { examples: vec![Example { index: 0, attempt: 1, row, traceparent: None }] });
    assert!(matches!(order.encode(), Err(FrameError::TooLong(_))));
}
