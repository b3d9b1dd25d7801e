//! Variables of the cluster, and what the optimizations of a program gave.

use dspex_api::reason;
use dspex_api::v1::{ListOptimizationsRequest, RecordOptimizationRequest, SetVariableRequest};
use dspex_tests::{Cluster, Home, Output};
use serde_json::{Value, json};

use crate::request::{id, put};

fn run(home: &Home, arguments: &[&str]) -> Output {
    home.dspex(&[&["variable"][..], arguments].concat()).run()
}

#[test]
fn a_variable_is_set_shown_listed_and_deleted() {
    let home = Home::new();
    let object = |arguments: &[&str]| run(&home, &[arguments, &["-o", "json"]].concat()).expect(0).object();
    assert_eq!(object(&["set", "t", "0.2"])["version"], 1);
    assert_eq!(object(&["set", "t", "-1", "--if-version", "1"])["version"], 2);
    run(&home, &["set", "t", "3", "--if-version", "1"]).expect(1).says("VERSION_CONFLICT").says("version 2 by now");
    run(&home, &["set", "t", "3", "--if-version", "0"]).expect(1).says("VERSION_CONFLICT");
    run(&home, &["set", "other", "3", "--if-version", "1"]).expect(5).says("VARIABLE_NOT_FOUND");
    run(&home, &["set", "t", "warm"]).expect(2).says("quotes");
    let shown = object(&["show", "t"]);
    assert_eq!(
        (&shown["value"], &shown["version"], &shown["written_by"]),
        (&json!(-1), &json!(2), &json!("local user"))
    );
    assert_eq!(object(&["show", "t", "--at", "1"])["value"], 0.2);
    run(&home, &["show", "t", "--at", "9"]).expect(5).says("VARIABLE_VERSION_NOT_FOUND").says("1 to 2, not 9");
    for number in 3..=25 {
        run(&home, &["set", "t", &number.to_string()]).expect(0);
    }
    let history = object(&["history", "t"]);
    let versions: Vec<u64> =
        history["items"].as_array().expect("items").iter().filter_map(|item| item["version"].as_u64()).collect();
    assert_eq!(versions, (6..=25).rev().collect::<Vec<_>>());
    run(&home, &["set", "text", "\"a b\""]).expect(0);
    let listed = object(&["list", "--prefix", "t"]);
    let values: Vec<&Value> = listed["items"].as_array().expect("items").iter().map(|item| &item["value"]).collect();
    assert_eq!(values, [&json!(25), &json!("a b")]);
    run(&home, &["delete", "t"]).expect(2).says("--yes");
    run(&home, &["delete", "t", "--yes"]).expect(0);
    run(&home, &["show", "t"]).expect(5).says("there is no variable t");
}

#[test]
fn a_value_is_json_of_at_most_16_kib() {
    let cluster = Cluster::of(1);
    let set = |number: u64, value: String| {
        let request = SetVariableRequest { request_id: id(number), name: "t".to_owned(), value, ..Default::default() };
        cluster.ask(0, async |client| client.set_variable(request).await)
    };
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert_eq!(set(1, text(16 * 1024)).expect("set").version, 1);
    assert_eq!(set(2, text(16 * 1024 + 1)).expect_err("too large").reason, reason::TOO_LARGE);
    assert_eq!(set(3, "{".to_owned()).expect_err("no JSON").reason, reason::REQUEST_INVALID);
}

#[test]
fn a_value_that_could_not_be_read_back_or_is_a_secret_is_refused_by_its_place() {
    let cluster = Cluster::of(1);
    let set = |number: u64, name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        let request = SetVariableRequest { request_id: id(number), name, value, ..Default::default() };
        cluster.ask(0, async |client| client.set_variable(request).await)
    };
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for (number, value, says) in [
        (1, r#"{"a": [0, 1e400]}"#, "holds 1e400 at a[1]"),
        (2, r#""\ud800""#, "surrogate"),
        (3, deep.as_str(), "nested more than 120 deep"),
    ] {
        let error = set(number, "t", value).expect_err(says);
        assert_eq!(error.reason, reason::REQUEST_INVALID, "{error}");
        assert!(error.message.contains("\"t\"") && error.message.contains(says), "{error}");
    }
    for (number, name, value, says) in [
        (4, "openai_api_key", r#""sk-1""#, "openai_api_key is a secret"),
        (5, "lm", r#"{"headers": {"Authorization": "Bearer sk-1"}}"#, "lm.headers.Authorization is a secret"),
        (6, "base", r#""https://me:sk-1@host/v1""#, "the password of the URL in base is a secret"),
    ] {
        let error = set(number, name, value).expect_err(says);
        assert_eq!(error.reason, reason::SECRET_FOUND, "{error}");
        assert!(error.message.contains(says) && !error.message.contains("sk-1"), "{error}");
    }
    let digits = "123456789012345678901234567890.10";
    set(7, "max_tokens", digits).expect("set");
    let listed = run_at(&cluster, &["list", "-o", "json"]);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "nothing else was stored");
    let request = dspex_api::v1::GetVariableRequest { name: "max_tokens".to_owned(), ..Default::default() };
    let kept = cluster.ask(0, async |client| client.variable(request).await).expect("there");
    assert_eq!(kept.value, digits, "as it was written");
}

fn run_at(cluster: &Cluster, arguments: &[&str]) -> Value {
    cluster.dspex(0, &[&["variable"][..], arguments].concat()).run().expect(0).object()
}

#[test]
fn the_optimizations_of_a_program_are_its_history() {
    let cluster = Cluster::of(1);
    cluster.ask(0, async |client| client.put_program(put(1, "qa", "q -> a")).await).expect("put");
    let record = |number: u64, change: &dyn Fn(&mut RecordOptimizationRequest)| {
        let mut request = RecordOptimizationRequest {
            request_id: id(number),
            name: "qa".to_owned(),
            optimizer_type: "MIPROv2".to_owned(),
            parameters: r#"{"auto": "light"}"#.to_owned(),
            performance_metrics: format!("{{\"score\": {number}}}"),
            training_data_hash: "ab".repeat(32),
            program_version: 1,
            ..RecordOptimizationRequest::default()
        };
        change(&mut request);
        cluster.ask(0, async |client| client.record_optimization(request).await)
    };
    for number in 1..=103 {
        assert_eq!(record(100 + number, &|_| ()).expect("recorded").number, number);
    }
    let refused = |change: &dyn Fn(&mut RecordOptimizationRequest)| record(999, change).expect_err("refused");
    for (error, says) in [
        (refused(&|request| request.optimizer_type.clear()), "1 to 50 bytes"),
        (refused(&|request| request.optimizer_type = "x".repeat(51)), "1 to 50 bytes"),
        (refused(&|request| request.parameters = "[]".to_owned()), "parameters is no JSON object"),
        (refused(&|request| request.performance_metrics = "1".to_owned()), "performance_metrics is no JSON object"),
        (refused(&|request| request.training_data_hash = "xyz".to_owned()), "training_data_hash"),
    ] {
        assert_eq!(error.reason, reason::REQUEST_INVALID);
        assert!(error.message.contains(says), "{error}");
    }
    let missing = refused(&|request| request.program_version = 2);
    assert_eq!(missing.reason, reason::PROGRAM_VERSION_NOT_FOUND);
    let large = |request: &mut RecordOptimizationRequest| {
        request.parameters = format!("{{\"x\": \"{}\"}}", "x".repeat(16 * 1024));
    };
    assert_eq!(record(998, &large).expect_err("too large").reason, reason::TOO_LARGE);

    let request = ListOptimizationsRequest { name: "qa".to_owned(), ..ListOptimizationsRequest::default() };
    let kept = cluster.ask(0, async |client| client.list_optimizations(request).await).expect("listed");
    let numbers: Vec<u64> = kept.iter().map(|one| one.number).collect();
    assert_eq!(numbers, (4..=103).rev().collect::<Vec<_>>(), "the newest hundred, newest first");
    let shown = cluster.dspex(0, &["program", "show", "qa", "-o", "json"]).run().expect(0).object();
    let newest = &shown["optimization_history"][0];
    assert_eq!((&newest["optimizer_type"], &newest["performance_metrics"]["score"]), (&json!("MIPROv2"), &json!(203)));
    assert_eq!((&newest["training_data_hash"], &shown["version"]), (&json!("ab".repeat(32)), &json!(1)));
    let page = cluster.dspex(0, &["program", "show", "qa"]).run().expect(0).stdout;
    assert!(page.contains("100, the newest by MIPROv2"), "{page}");
    let table = cluster.dspex(0, &["program", "optimizations", "qa"]).run().expect(0).stdout;
    assert_eq!(table.lines().count(), 1 + 100);
}
