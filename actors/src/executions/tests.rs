use std::time::Instant;

use super::*;

fn record(bytes: usize) -> ExecutionRecord {
    ExecutionRecord { input: Bytes::from(vec![b'x'; bytes]), ..ExecutionRecord::new("qa", ExecutionStatus::Succeeded) }
}

fn available(executions: &Executions) -> usize {
    executions.places.available_permits()
}

#[tokio::test]
async fn a_record_keeps_its_place_until_it_is_taken_and_a_large_one_keeps_several() {
    let (executions, mut recorder) = Executions::new();
    assert!(executions.record(record(10)).await);
    assert_eq!(available(&executions), PLACES - 1);
    assert!(executions.record(record(3 * PLACE_BYTES)).await);
    assert_eq!(available(&executions), PLACES - 5);
    // More than there are places for takes those that are left, and is queued all the same.
    assert!(executions.record(record(2 * PLACES * PLACE_BYTES)).await);
    assert_eq!(available(&executions), 0);
    let taken = recorder.take();
    assert_eq!(taken.iter().map(|queued| queued.told.bytes()).sum::<usize>(), 10 + (3 + 2 * PLACES) * PLACE_BYTES);
    drop(taken);
    assert_eq!(available(&executions), PLACES);
}

#[tokio::test]
async fn a_place_that_is_not_filled_is_free_again() {
    let (executions, _recorder) = Executions::new();
    let place = executions.reserve().await.expect("a place");
    assert_eq!(available(&executions), PLACES - 1);
    drop(place);
    assert_eq!(available(&executions), PLACES);
}

#[tokio::test]
async fn without_a_place_it_waits_a_little_and_not_at_all_while_the_log_takes_nothing() {
    let (mut executions, mut recorder) = Executions::new();
    executions.place_limit = Duration::from_millis(50);
    for _ in 0..PLACES {
        assert!(executions.record(record(1)).await);
    }
    let began = Instant::now();
    assert!(!executions.record(record(1)).await);
    assert!(began.elapsed() >= executions.place_limit);

    executions.place_limit = Duration::from_secs(3600);
    let other = executions.clone();
    let waiting = tokio::spawn(async move { other.record(record(1)).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    drop(recorder.take());
    assert!(waiting.await.expect("ended"), "a place has become free meanwhile");

    while let Ok(permit) = Arc::clone(&executions.places).try_acquire_owned() {
        permit.forget();
    }
    executions.standing.is_stalled.store(true, Ordering::Relaxed);
    let refused = tokio::time::timeout(Duration::from_secs(60), executions.record(record(1))).await;
    assert!(!refused.expect("at once"), "nobody knows when there will be a place");
}

#[tokio::test]
async fn settling_waits_for_what_is_queued_and_not_for_ever() {
    let (executions, mut recorder) = Executions::new();
    executions.record(record(1)).await;
    let (began, limit) = (Instant::now(), Duration::from_millis(50));
    executions.settle(limit).await;
    assert!(began.elapsed() >= limit);
    let settling = tokio::spawn(async move { executions.settle(Duration::from_secs(3600)).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    drop(recorder.take());
    tokio::time::timeout(Duration::from_secs(60), settling).await.expect("settled").expect("ended");
}

mod calls {
    use std::sync::{Arc, OnceLock};

    use super::*;
    use crate::executions::{CallUnderWay, CalledBy};
    use crate::pool::{CallError, CallReply, CallRequest, CallTiming};

    fn request() -> CallRequest {
        CallRequest { command: "execute_program".to_owned(), ..CallRequest::default() }
    }

    #[tokio::test]
    async fn a_call_in_a_session_is_recorded_with_it() {
        let (executions, mut recorder) = Executions::new();
        let session = SessionId::new("user-1").expect("an id");
        let by = CalledBy { actor: Some("ada".to_owned()), session: Some(session.clone()) };
        let (under_way, _) = CallUnderWay::new(executions, &request(), by);
        drop(under_way);
        let recorded: Vec<_> = recorder.take().into_iter().map(recorded).collect();
        assert_eq!(recorded.len(), 1);
        assert_eq!((recorded[0].session.as_ref(), recorded[0].actor.as_deref()), (Some(&session), Some("ada")));
    }

    fn recorded(queued: Queued) -> ExecutionRecord {
        match queued.told {
            Told::Call(call) => call.into_record(),
            Told::Record(record) => *record,
        }
    }

    fn statuses(recorder: &mut Recorder) -> Vec<(ExecutionStatus, String)> {
        recorder.take().into_iter().map(recorded).map(|record| (record.status, record.worker)).collect()
    }

    async fn answer(
        timing: Arc<OnceLock<CallTiming>>,
        answer: Result<CallReply, CallError>,
    ) -> Result<CallReply, CallError> {
        let _ = timing.set(CallTiming { worker: "w".to_owned(), ..CallTiming::default() });
        answer
    }

    #[tokio::test]
    async fn a_call_is_recorded_when_it_has_ended_and_when_its_caller_has_gone() {
        let (executions, mut recorder) = Executions::new();
        let lost = CallError::WorkerLost { message: "killed".to_owned(), output: String::new() };
        let (succeeded, was_lost) = (ExecutionStatus::Succeeded, ExecutionStatus::Lost);
        for (given, status) in [(Ok(reply()), succeeded), (Err(lost), was_lost)] {
            let (under_way, timing) = CallUnderWay::new(executions.clone(), &request(), CalledBy::default());
            let ended = under_way.follow(answer(timing, given)).await;
            assert_eq!(ended.is_ok(), status == ExecutionStatus::Succeeded);
            assert_eq!(statuses(&mut recorder), [(status, "w".to_owned())]);
        }
        let (under_way, _) = CallUnderWay::new(executions.clone(), &request(), CalledBy::default());
        let never = under_way.follow(std::future::pending());
        assert_eq!(statuses(&mut recorder), []);
        drop(never);
        assert_eq!(statuses(&mut recorder), [(ExecutionStatus::Cancelled, String::new())]);
        assert_eq!(available(&executions), PLACES);
    }

    #[tokio::test]
    async fn a_call_that_was_refused_is_not_recorded() {
        let (executions, mut recorder) = Executions::new();
        let (under_way, timing) = CallUnderWay::new(executions.clone(), &request(), CalledBy::default());
        let refused = under_way.follow(answer(timing, Err(CallError::Stopping))).await;
        assert!(refused.is_err());
        assert_eq!((statuses(&mut recorder), available(&executions)), (Vec::new(), PLACES));
    }

    fn reply() -> CallReply {
        CallReply {
            result: Bytes::from_static(b"1"),
            worker: "w".to_owned(),
            queued: Duration::ZERO,
            executed: Duration::ZERO,
            attempt: 1,
            changes: None,
            trace: Some(Bytes::from_static(b"[]")),
        }
    }

    #[tokio::test]
    async fn calls_that_wait_for_a_worker_hold_no_place_and_all_are_recorded() {
        const CALLS: usize = 2 * PLACES;
        let (mut executions, mut recorder) = Executions::new();
        executions.place_limit = Duration::from_secs(3600);
        let (mut workers, mut followed) = (Vec::new(), Vec::new());
        for _ in 0..CALLS {
            let (under_way, timing) = CallUnderWay::new(executions.clone(), &request(), CalledBy::default());
            let (worker, answered) = tokio::sync::oneshot::channel();
            workers.push((worker, timing));
            followed.push(tokio::spawn(under_way.follow(async move { answered.await.expect("answered") })));
        }
        tokio::task::yield_now().await;
        assert_eq!(available(&executions), PLACES, "nobody has ended");
        for (worker, timing) in workers {
            let _ = timing.set(CallTiming::default());
            assert!(worker.send(Ok(reply())).is_ok());
        }
        let mut recorded = 0;
        while recorded < CALLS {
            recorded += statuses(&mut recorder).len();
            tokio::task::yield_now().await;
        }
        for call in followed {
            assert!(call.await.expect("followed").is_ok());
        }
        assert_eq!((recorded, available(&executions)), (CALLS, PLACES));
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_while_its_record_waits_for_a_place_is_recorded_as_it_ended() {
        let (mut executions, mut recorder) = Executions::new();
        executions.place_limit = Duration::from_secs(3600);
        let all = Arc::clone(&executions.places).acquire_many_owned(PLACES as u32).await.expect("all places");
        let (under_way, timing) = CallUnderWay::new(executions.clone(), &request(), CalledBy::default());
        let mut following = Box::pin(under_way.follow(answer(timing, Ok(reply()))));
        assert!(futures::poll!(following.as_mut()).is_pending(), "its record has no place");
        drop(all);
        drop(following);
        assert_eq!(statuses(&mut recorder), [(ExecutionStatus::Succeeded, "w".to_owned())]);
        // Without a place there is no record, and nobody waits for one.
        let all = Arc::clone(&executions.places).acquire_many_owned(PLACES as u32).await.expect("all places");
        let (under_way, _) = CallUnderWay::new(executions.clone(), &request(), CalledBy::default());
        drop(under_way);
        assert_eq!(statuses(&mut recorder), []);
        assert!(executions.standing.leaves_out.load(Ordering::Relaxed), "which is said");
        drop(all);
    }
}
