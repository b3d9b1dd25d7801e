//! Pages of executions while others are recorded.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dspex_api::v1::{ExecutionStatus, ListExecutionsRequest};
use dspex_api::{ApiError, Client};

use crate::subject::{ALL, Subject, pages, request};

const LIMIT: Duration = Duration::from_secs(120);

/// Calls until it is told to stop, or so often.
async fn call(client: &Client, pool_id: &str, most: u64, stop: &AtomicBool) {
    for n in 0..most {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        client.call_pool(request(pool_id, "program.py:double", &n.to_string()), LIMIT).await.expect("called");
    }
}

/// Until so many are recorded.
async fn recorded(client: &Client, count: u64) -> Result<(), ApiError> {
    let wanted = ListExecutionsRequest { limit: 1, ..ListExecutionsRequest::default() };
    let records = async {
        while client.list_executions(wanted.clone()).await?.items.first().is_none_or(|newest| newest.number < count) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    tokio::time::timeout(LIMIT, records).await.expect("recorded in time")
}

#[test]
fn pages_go_on_without_a_gap_and_without_a_repetition_while_new_ones_come_in() {
    let subject = Subject::new(ALL);
    // The node is there from then on, and records nothing of it.
    subject.call(&["ping"]).run().expect(0);
    let stop = AtomicBool::new(false);
    subject
        .home
        .ask(async |client| {
            let pool_id = client.open_pool(subject.open()).await?;
            call(&client, &pool_id, 150, &stop).await;
            let reading = async {
                // Records come after the answers: on a slow disk by many calls.
                recorded(&client, 100).await?;
                for limit in [1, 7, 40, 1000] {
                    let wanted = ListExecutionsRequest { limit, ..ListExecutionsRequest::default() };
                    let all = pages(&client, wanted).await?;
                    let numbers: Vec<u64> = all.iter().map(|execution| execution.number).collect();
                    let newest = numbers[0];
                    assert!(newest >= 100, "{newest}");
                    assert_eq!(numbers, (1..=newest).rev().collect::<Vec<_>>(), "pages of {limit}");
                    let ids: BTreeSet<&str> = all.iter().map(|execution| execution.execution_id.as_str()).collect();
                    assert_eq!(ids.len(), all.len());
                    assert!(all.is_sorted_by(|newer, older| newer.created_ms >= older.created_ms));
                }
                stop.store(true, Ordering::Relaxed);
                Ok::<_, ApiError>(())
            };
            let (read, ()) = tokio::join!(reading, call(&client, &pool_id, u64::MAX, &stop));
            read
        })
        .expect("pages");
}

#[test]
fn a_page_says_where_the_next_one_begins_and_how_many_there_are_of_each_kind() {
    let subject = Subject::new(ALL);
    for n in 0..3 {
        subject.call(&["program.py:double", &n.to_string()]).run().expect(0);
        subject.call(&["program.py:fails", r#"{"text": "no"}"#]).run().expect(1);
    }
    subject.recorded(6, &[]);
    subject
        .home
        .ask(async |client| {
            let failed = ListExecutionsRequest {
                limit: 2,
                status: ExecutionStatus::Failed.into(),
                ..ListExecutionsRequest::default()
            };
            let first = client.list_executions(failed.clone()).await?;
            assert_eq!(first.items.iter().map(|one| one.number).collect::<Vec<_>>(), [6, 4]);
            assert_eq!((first.counts["succeeded"], first.counts["failed"], first.counts["lost"]), (3, 3, 0));
            let second = client.list_executions(ListExecutionsRequest { before: first.next, ..failed }).await?;
            assert_eq!((second.items[0].number, second.items.len(), second.next), (2, 1, 0));
            Ok(())
        })
        .expect("pages");
    let cut = subject.dspex(&["execution", "list", "--all", "-o", "jsonl"]).run().expect(0);
    assert_eq!(cut.stdout.lines().count(), 6);
}
