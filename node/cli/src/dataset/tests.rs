//! Datasets as data: a file's content in, rows or the error's text out.

use std::io::Write;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

struct Outcome {
    rows: Vec<String>,
    read: ReadRows,
}

fn check(name: &str, content: &[u8], limit: Option<u32>) -> Result<Outcome, CommandError> {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join(name);
    File::create(&path).and_then(|mut file| file.write_all(content)).expect("written");
    check_path(&path, limit)
}

fn check_path(path: &Path, limit: Option<u32>) -> Result<Outcome, CommandError> {
    let Source::File(_, kind) = Source::parse(&path.to_string_lossy())? else {
        panic!("a file is expected");
    };
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let sink = bytes.clone();
    let send = Box::new(move |chunk: dspex_api::Bytes| {
        assert!(chunk.len() <= dspex_api::CHUNK_LIMIT_BYTES);
        sink.lock().expect("lock").extend_from_slice(&chunk);
        true
    });
    let read = read(path, kind, limit, send)?;
    let text = String::from_utf8(bytes.lock().expect("lock").clone()).expect("UTF-8");
    Ok(Outcome { rows: text.lines().map(str::to_owned).collect(), read })
}

fn refused(name: &str, content: &[u8]) -> String {
    match check(name, content, None) {
        Ok(outcome) => panic!("accepted: {:?}", outcome.rows),
        Err(error) => {
            assert_eq!(error.exit, 2, "{error}");
            error.message
        }
    }
}

#[test]
fn json_lines_keep_their_digits_and_nesting() {
    let content = "\u{feff}{\"n\": 12345678901234567890123, \"x\": 1.0, \"a b\": [1, {\"c\": \" d \\\" e\"}]}\r\n\n  \n{\"n\": 1, \"é\": null}";
    let outcome = check("a.jsonl", content.as_bytes(), None).expect("valid");
    assert_eq!(
        outcome.rows,
        [r#"{"n":12345678901234567890123,"x":1.0,"a b":[1,{"c":" d \" e"}]}"#, r#"{"n":1,"é":null}"#]
    );
    let columns: Vec<_> =
        outcome.read.columns.iter().map(|column| (column.name.as_str(), column.first_row_without)).collect();
    assert_eq!(columns, [("n", 0), ("x", 4), ("a b", 4), ("é", 1)]);
    assert!(!outcome.read.text_cells);
}

#[test]
fn bad_json_lines_name_the_line() {
    let deep = format!("{{\"a\": 1}}\n{{\"a\": {}{}}}\n", "[".repeat(300), "]".repeat(300));
    for (content, expected) in [
        (&b"{\"a\": 1}\n{\"a\": }\n"[..], "line 2: not JSON"),
        (b"{\"a\": 1}\n[1]\n", "line 2: an object is expected, found a list"),
        (b"3\n", "line 1: an object is expected, found a number"),
        (b"{\"a\": NaN}\n", "line 1: NaN is not JSON"),
        (b"{\"a\": -Infinity}\n", "line 1: Infinity is not JSON"),
        (b"{\"a\": 1}\n\n{\"a\": \"\xff\"}\n", "line 3: not UTF-8"),
        (b"{\"a\": 1} {\"a\": 2}\n", "line 1: not JSON"),
        (b"{\"a\": 1", "line 1: not JSON"),
        (deep.as_bytes(), "line 2: nested more than 200 deep"),
        (b"", "devset must contain at least one example"),
        (b"\n \n", "devset must contain at least one example"),
    ] {
        let message = refused("a.jsonl", content);
        assert!(message.contains(expected), "{message} has no {expected}");
    }
}

#[test]
fn csv_cells_stay_text() {
    let content = "\u{feff}question,answer\n\"a, \"\"b\"\"\nc\",007\n,\n";
    let outcome = check("a.csv", content.as_bytes(), None).expect("valid");
    assert_eq!(outcome.rows, [r#"{"question":"a, \"b\"\nc","answer":"007"}"#, r#"{"question":"","answer":""}"#]);
    assert!(outcome.read.text_cells);
}

#[test]
fn bad_csv_names_the_line() {
    for (content, expected) in [
        (&b"a,b\n1,2\n3\n"[..], "line 3: 1 cells, but the header has 2"),
        (b"a,a\n1,2\n", "line 1: the header names \"a\" twice"),
        (b"a, \n1,2\n", "line 1: column 2 has no name"),
        (b"a,b\n1,\xff\n", "line 2: not UTF-8"),
        (b"a,b\n", "devset must contain at least one example"),
        (b"", "devset must contain at least one example"),
    ] {
        let message = refused("a.csv", content);
        assert!(message.contains(expected), "{message} has no {expected}");
    }
}

#[test]
fn the_limit_ends_the_reading() {
    let outcome = check("a.jsonl", b"{\"a\":1}\n{\"a\":2}\nbroken\n", Some(2)).expect("valid");
    assert_eq!((outcome.rows.len(), outcome.read.examples), (2, 2));
}

#[test]
fn what_is_no_file_of_rows_is_refused() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let inside = directory.path().join("d.jsonl");
    std::fs::create_dir(&inside).expect("created");
    for (path, expected) in [(inside, "a directory"), (directory.path().join("none.csv"), "there is no dataset")] {
        let error = check_path(&path, None).err().expect("refused");
        assert!(error.exit == 2 && error.message.contains(expected), "{error}");
    }
    assert!(refused("a.parquet", b"PAR1 not really").contains("not readable as Parquet"));
}

#[test]
fn parquet_that_was_saved_is_read_again() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("a.parquet");
    let rows = [json!({"q": "a", "n": 1, "x": 0.5, "b": true}), json!({"q": "é\n", "n": -2, "x": 2.0})];
    crate::result::save_for_tests(&path, &rows);
    let outcome = check_path(&path, None).expect("valid");
    let read: Vec<Value> = outcome.rows.iter().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    assert_eq!(read[0], json!({"q": "a", "n": 1, "x": 0.5, "b": true}));
    assert_eq!(read[1], json!({"q": "é\n", "n": -2, "x": 2.0, "b": null}));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn json_lines_round_trip(rows in prop::collection::vec(prop::collection::btree_map(any::<String>(), any_json(), 0..4), 1..6)) {
        let rows: Vec<Value> = rows.into_iter().map(|row| Value::Object(row.into_iter().collect::<Map<_, _>>())).collect();
        let content: String = rows.iter().map(|row| format!("{row:#}").replace('\n', " ") + "\n").collect();
        let outcome = check("a.jsonl", content.as_bytes(), None).expect("valid");
        let read: Vec<Value> = outcome.rows.iter().map(|row| serde_json::from_str(row).expect("JSON")).collect();
        prop_assert_eq!(read, rows);
    }

    #[test]
    fn csv_round_trips(rows in prop::collection::vec((any::<String>(), any::<String>()), 1..6)) {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        writer.write_record(["a", "b"]).expect("written");
        for (first, second) in &rows {
            writer.write_record([first, second]).expect("written");
        }
        let outcome = check("a.csv", &writer.into_inner().expect("flushed"), None).expect("valid");
        let read: Vec<(String, String)> = outcome.rows.iter().map(|row| {
            let row: Value = serde_json::from_str(row).expect("JSON");
            (row["a"].as_str().expect("text").to_owned(), row["b"].as_str().expect("text").to_owned())
        }).collect();
        prop_assert_eq!(read, rows);
    }
}
