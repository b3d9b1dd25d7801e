//! Programs of sessions: they are found there first, and leave with their session.

use std::time::Duration;

use dspex_api::reason;
use dspex_api::v1::GetProgramRequest;
use dspex_tests::{Cluster, holds_within};
use serde_json::json;

use crate::request::put;

#[test]
fn a_session_has_programs_of_its_own_and_those_of_all_where_that_is_asked_for() {
    let cluster = Cluster::of(1);
    let run = |arguments: &[&str]| cluster.dspex(0, arguments).run();
    run(&["program", "put", "qa", "--signature", "q -> a", "--session", "s"]).expect(5).says("SESSION_NOT_FOUND");
    run(&["session", "create", "s"]).expect(0);
    run(&["program", "put", "qa", "--signature", "q -> of_all"]).expect(0);
    run(&["program", "show", "qa", "--session", "s"]).expect(5).says("qa of session s");
    let signature =
        |arguments: &[&str]| run(&[arguments, &["-o", "json"]].concat()).expect(0).object()["signature"].clone();
    let falls_back = ["program", "show", "qa", "--session", "s", "--or-global"];
    assert_eq!(signature(&falls_back), json!("q -> of_all"));
    run(&["program", "put", "qa", "--signature", "q -> of_s", "--session", "s"]).expect(0);
    assert_eq!(signature(&falls_back), json!("q -> of_s"));
    assert_eq!(signature(&["program", "show", "qa"]), json!("q -> of_all"));
    run(&["program", "show", "qa", "--or-global"]).expect(2);
    let listed = run(&["program", "list", "--session", "s", "-o", "json"]).expect(0).object();
    assert_eq!((&listed["items"][0]["session"], listed["items"].as_array().map(Vec::len)), (&json!("s"), Some(1)));
    run(&["program", "list", "--session", "nobody"]).expect(5).says("SESSION_NOT_FOUND");
    run(&["program", "delete", "qa", "--session", "s", "--yes"]).expect(0);
    assert_eq!(signature(&falls_back), json!("q -> of_all"), "the one of all is untouched");
}

#[test]
fn the_programs_of_a_session_leave_with_it_and_not_early() {
    let cluster = Cluster::of(1);
    let run = |arguments: &[&str]| cluster.dspex(0, arguments).run();
    run(&["session", "create", "deleted"]).expect(0);
    run(&["program", "put", "qa", "--signature", "q -> a", "--session", "deleted"]).expect(0);
    run(&["session", "delete", "deleted", "--yes"]).expect(0);
    run(&["program", "show", "qa", "--session", "deleted"]).expect(5);

    let begun = std::time::Instant::now();
    run(&["session", "create", "short", "--ttl", "3"]).expect(0);
    run(&["program", "put", "qa", "--signature", "q -> a", "--session", "short"]).expect(0);
    let request = GetProgramRequest { name: "qa".to_owned(), session_id: "short".to_owned(), ..Default::default() };
    let get = || cluster.ask(0, async |client| client.program(request.clone()).await);
    let id = get().expect("it is there").program_id;
    assert!(holds_within(Duration::from_secs(30), || get().is_err()), "it does not end");
    assert!(begun.elapsed() >= Duration::from_secs(3), "it ended after {:?}", begun.elapsed());
    let by_id = GetProgramRequest { program_id: id, ..GetProgramRequest::default() };
    let gone = cluster.ask(0, async |client| client.program(by_id).await).expect_err("gone");
    assert_eq!(gone.reason, reason::PROGRAM_UNKNOWN);
    run(&["session", "create", "short"]).expect(0);
    run(&["program", "show", "qa", "--session", "short"]).expect(5);
    assert_eq!(run(&["program", "list", "-o", "json"]).expect(0).object()["counts"]["programs"], 0);
}

#[test]
fn a_session_has_a_hundred_programs_and_no_more() {
    let cluster = Cluster::of(1);
    cluster.dspex(0, &["session", "create", "s"]).run().expect(0);
    let of_session = |number: u64| {
        let mut request = put(number, &format!("p{number}"), "q -> a");
        request.session_id = "s".to_owned();
        cluster.ask(0, async |client| client.put_program(request).await)
    };
    for number in 1..=100 {
        of_session(number).expect("put");
    }
    let error = of_session(101).expect_err("one more");
    assert_eq!(error.reason, reason::TOO_LARGE);
    assert!(error.message.contains("100 programs"), "{error}");
}
