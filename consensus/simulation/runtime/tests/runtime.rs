//! What the runtime promises: openraft's own conformance suite, one order for one seed, and groups that end and halt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dspex_simulation_runtime::time::{Instant, sleep, timeout};
use dspex_simulation_runtime::{
    Executor, Group, JoinError, Simulated, SimulatedRandom, fingerprint, kill, pause, resume, spawn, spawn_in, sync,
    take_panics,
};
use rand::Rng;

#[test]
fn openraft_finds_a_runtime_that_keeps_its_contract() {
    openraft::rt::testing::Suite::<Simulated>::test_all();
}

/// Five tasks that wait, wake each other and draw; the order in which they came, and the fingerprint of it all.
fn order_of(seed: u64) -> (Vec<u64>, u64) {
    Executor::new(seed).block_on(async {
        let (sender, mut receiver) = sync::mpsc::unbounded_channel();
        let (turn, _) = sync::watch::channel(0);
        for task in 0..5_u64 {
            let (sender, mut turn) = (sender.clone(), turn.subscribe());
            spawn(async move {
                while turn.changed().await.is_ok() {
                    sleep(Duration::from_micros(SimulatedRandom.next_u64() % 50)).await;
                    let _ = sender.send(task);
                }
            });
        }
        for round in 0..20 {
            turn.send_replace(round);
            sleep(Duration::from_micros(30)).await;
        }
        drop((sender, turn));
        let mut order = Vec::new();
        while let Some(task) = receiver.recv().await {
            order.push(task);
        }
        (order, fingerprint())
    })
}

#[test]
fn a_seed_gives_one_order_and_another_seed_another() {
    let first = order_of(7);
    assert!(first.0.len() > 20);
    for _ in 0..20 {
        assert_eq!(order_of(7), first);
    }
    assert_ne!(order_of(8), first);
}

#[test]
fn time_leaps_over_waiting_and_time_limits_hold() {
    Executor::new(1).block_on(async {
        let begun = Instant::now();
        sleep(Duration::from_secs(3600)).await;
        let hour = begun.elapsed();
        assert!(hour >= Duration::from_secs(3600) && hour < Duration::from_secs(3601), "{hour:?}");
        assert!(timeout(Duration::from_secs(5), std::future::pending::<()>()).await.is_err());
        assert_eq!(timeout(Duration::from_secs(5), async { 7 }).await, Ok(7));
    });
}

/// A task of a group that counts its rounds.
fn counting(group: Group) -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    spawn_in(group, async move {
        loop {
            sleep(Duration::from_millis(1)).await;
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    count
}

#[test]
fn a_killed_group_does_nothing_more_and_others_go_on() {
    Executor::new(2).block_on(async {
        let (victim, other) = (counting(Group(1)), counting(Group(2)));
        let waits = spawn_in(Group(1), std::future::pending::<()>());
        // Its own killer: the rest of it never happens.
        let suicidal = spawn_in(Group(3), async {
            kill(Group(3));
            sleep(Duration::from_millis(1)).await;
            7
        });
        sleep(Duration::from_millis(100)).await;
        kill(Group(1));
        let (at_death, before) = (victim.load(Ordering::Relaxed), other.load(Ordering::Relaxed));
        sleep(Duration::from_millis(100)).await;
        assert!(at_death > 50 && victim.load(Ordering::Relaxed) == at_death);
        assert!(other.load(Ordering::Relaxed) > before + 50);
        assert_eq!(waits.await, Err(JoinError::Killed));
        assert_eq!(suicidal.await, Err(JoinError::Killed));
    });
}

#[test]
fn a_halted_group_stands_still_and_goes_on_where_it_stood() {
    Executor::new(3).block_on(async {
        let (halted, other) = (counting(Group(1)), counting(Group(2)));
        sleep(Duration::from_millis(100)).await;
        pause(Group(1));
        let stood = halted.load(Ordering::Relaxed);
        sleep(Duration::from_millis(100)).await;
        assert!(stood > 50 && halted.load(Ordering::Relaxed) == stood);
        // Another group's end does not wake it.
        kill(Group(2));
        sleep(Duration::from_millis(100)).await;
        assert_eq!(halted.load(Ordering::Relaxed), stood);
        resume(Group(1));
        sleep(Duration::from_millis(100)).await;
        assert!(halted.load(Ordering::Relaxed) > stood + 50);
        assert!(other.load(Ordering::Relaxed) > 150);
    });
}

#[test]
fn a_panic_ends_its_task_only_and_is_told() {
    Executor::new(4).block_on(async {
        let panics = spawn_in(Group(5), async { panic!("on purpose") });
        let Err(JoinError::Panicked(message)) = panics.await else { panic!("it must have panicked") };
        assert_eq!(message, "on purpose");
        assert_eq!(take_panics(), [(Group(5), "on purpose".to_owned())]);
        assert!(take_panics().is_empty());
    });
}

#[test]
#[should_panic(expected = "everybody waits")]
fn a_standstill_is_an_error_and_not_a_hang() {
    Executor::new(5).block_on(std::future::pending::<()>());
}
