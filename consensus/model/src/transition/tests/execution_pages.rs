//! Whatever was recorded and has left: a page of the disk's records has what a search through all of them would find.

use proptest::prelude::*;

use super::executions::{execution, few};
use super::story::Story;
use crate::{
    Command, Execution, ExecutionId, ExecutionPage, ExecutionQuery, ExecutionStatus, Outcome, Proposal,
    RecordedExecution, SessionId, execution_page, find_execution,
};

fn program() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["qa", "qb", "ping"]).prop_map(str::to_owned)
}

fn session() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(vec!["s", "t"]).prop_map(str::to_owned))
}

fn status() -> impl Strategy<Value = ExecutionStatus> {
    prop::sample::select(&ExecutionStatus::ALL[..3])
}

pub(super) fn executed() -> impl Strategy<Value = Execution> {
    (1u128..200, program(), status(), session()).prop_map(|(id, program, status, session)| Execution {
        session: session.map(|session| SessionId::new(session).expect("an id")),
        ..execution(id, &program, status)
    })
}

/// Commands, each after so many milliseconds.
fn log() -> impl Strategy<Value = Vec<(u64, Vec<Execution>)>> {
    let hour = 3600 * 1000u64;
    let pause = prop_oneof![4 => 0u64..5, 1 => 0..30 * hour];
    prop::collection::vec((pause, prop::collection::vec(executed(), 0..6)), 0..40)
}

fn query() -> impl Strategy<Value = ExecutionQuery> {
    let time = || prop::option::of(0u64..400_000_000);
    (prop::option::of(program()), prop::option::of(status()), session(), time(), time(), 1usize..8).prop_map(
        |(program, status, session, since_ms, until_ms, limit)| ExecutionQuery {
            program,
            status,
            session,
            since_ms,
            until_ms,
            before: None,
            limit,
        },
    )
}

fn is_wanted(query: &ExecutionQuery, found: &RecordedExecution) -> bool {
    let RecordedExecution { created_ms, execution } = found;
    query.program.as_ref().is_none_or(|program| *program == execution.program)
        && query.status.is_none_or(|status| status == execution.status)
        && query
            .session
            .as_deref()
            .is_none_or(|session| execution.session.as_ref().is_some_and(|own| own.as_str() == session))
        && query.since_ms.is_none_or(|since_ms| *created_ms >= since_ms)
        && query.until_ms.is_none_or(|until_ms| *created_ms < until_ms)
}

/// Gives the number of the newest one, by the outcomes alone.
fn play(story: &mut Story, log: Vec<(u64, Vec<Execution>)>) -> u64 {
    story.limit_executions(few());
    let mut newest = 0;
    for (pause_ms, executions) in log {
        story.now_ms += pause_ms;
        let outcome = story.apply(Command::RecordExecutions { executions }).0;
        let Outcome::ExecutionsRecorded { first, recorded, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(first, newest + 1);
        newest += u64::from(recorded);
    }
    newest
}

fn pages(story: &Story, query: &ExecutionQuery) -> Vec<ExecutionPage> {
    let mut query = query.clone();
    let mut pages = Vec::new();
    loop {
        let page = execution_page(&story.disk, &query).expect("readable");
        query.before = page.next;
        pages.push(page);
        if query.before.is_none() {
            return pages;
        }
    }
}

/// How many are kept once nothing more comes. A command removes one segment at the most, which may hold less than the command brings
/// where the day ended it: until then there may be more.
fn settled(story: &mut Story) -> u64 {
    for _ in 0..200 {
        story.apply(Command::RecordExecutions { executions: Vec::new() });
    }
    story.state.execution_counts().iter().sum()
}

proptest! {
    #[test]
    fn the_pages_of_a_query_are_what_is_kept_of_it_newest_first(log in log(), queries in prop::collection::vec(query(), 6)) {
        let mut story = Story::default();
        let newest = play(&mut story, log);
        let everything = ExecutionQuery { limit: usize::MAX, ..ExecutionQuery::default() };
        let kept = execution_page(&story.disk, &everything).expect("readable").items;
        let numbers: Vec<u64> = kept.iter().map(|(number, _)| *number).collect();
        prop_assert!(numbers.is_sorted_by(|newer, older| *newer == older + 1), "{numbers:?}");
        prop_assert!(numbers.first().is_none_or(|number| *number == newest), "{numbers:?}");
        for query in queries {
            let found = pages(&story, &query);
            prop_assert!(found.iter().all(|page| page.items.len() <= query.limit));
            prop_assert!(found[..found.len() - 1].iter().all(|page| page.items.len() == query.limit));
            let counts = story.state.execution_counts();
            prop_assert!(found.iter().all(|page| page.counts == counts));
            let found: Vec<_> = found.into_iter().flat_map(|page| page.items).collect();
            let wanted: Vec<_> = kept.iter().filter(|(_, one)| is_wanted(&query, one)).cloned().collect();
            prop_assert_eq!(found, wanted);
        }
        for (_, one) in &kept {
            let newest = kept.iter().find(|(_, other)| other.execution.id == one.execution.id);
            let found = find_execution(&story.disk, one.execution.id).expect("readable");
            prop_assert_eq!(found.as_ref(), newest);
        }
        let settled = settled(&mut story);
        prop_assert!(settled < 10 + 4, "the oldest segment goes when the others are as many: {settled}");
    }

    #[test]
    fn a_page_goes_on_where_the_last_one_ended_while_others_come(log in log(), more in log()) {
        let mut story = Story::default();
        play(&mut story, log);
        let query = ExecutionQuery { limit: 3, ..ExecutionQuery::default() };
        let before: Vec<_> = pages(&story, &query).into_iter().flat_map(|page| page.items).collect();
        let first = execution_page(&story.disk, &query).expect("readable");
        story.limit_executions(crate::executions::Limits { kept: u64::MAX, kept_ms: u64::MAX / 2, ..few() });
        for (_, executions) in more {
            story.apply(Command::RecordExecutions { executions });
        }
        let rest = ExecutionQuery { before: first.next, ..query };
        let mut found = first.items;
        if rest.before.is_some() {
            found.extend(pages(&story, &rest).into_iter().flat_map(|page| page.items));
        }
        prop_assert_eq!(found, before);
    }
}

#[test]
fn an_index_of_a_session_is_searched_in_pieces_for_what_few_of_its_entries_have() {
    let mut story = Story::default();
    let of_session = |id: u128, status| Execution {
        session: Some(SessionId::new("s").expect("an id")),
        ..execution(id, "qa", status)
    };
    story.apply(Command::RecordExecutions { executions: vec![of_session(1, ExecutionStatus::Lost)] });
    let many: Vec<Execution> = (2..=20_500).map(|id| of_session(id, ExecutionStatus::Succeeded)).collect();
    for executions in many.chunks(500) {
        let command = Command::RecordExecutions { executions: executions.to_vec() };
        story.apply_quickly(&Proposal::internal(command));
    }
    let query = ExecutionQuery {
        session: Some("s".to_owned()),
        status: Some(ExecutionStatus::Lost),
        limit: 10,
        ..ExecutionQuery::default()
    };
    let found = pages(&story, &query);
    let lengths: Vec<usize> = found.iter().map(|page| page.items.len()).collect();
    assert_eq!(lengths, [0, 0, 1], "each page looks at ten thousand");
    assert_eq!(found[2].items[0].1.execution.id, ExecutionId(1));
}
