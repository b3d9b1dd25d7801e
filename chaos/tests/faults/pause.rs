use std::time::Duration;

use dspex_chaos::fault::pause::{self, Pause};

use crate::child::InRole;
use crate::skip::is_available;

fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).expect("a state")
}

#[test]
fn a_paused_process_stands_still_and_goes_on_when_the_pause_is_dropped() {
    if !is_available("pause", pause::probe()) {
        return;
    }
    let mut child = InRole::plain("clock");
    child.asks();
    child.hears();
    let pause = Pause::begin(child.pid()).expect("paused");
    assert_eq!(state(child.pid()), 'T');
    child.asks();
    assert_eq!(child.hears_within(Duration::from_millis(300)), None, "it stands still");
    drop(pause);
    child.hears();
    assert_ne!(state(child.pid()), 'T');
}

#[test]
fn a_process_that_panics_its_test_goes_on_too() {
    let mut child = InRole::plain("clock");
    let pid = child.pid();
    let panicked = std::thread::spawn(move || {
        let _pause = Pause::begin(pid).expect("paused");
        panic!("the scenario failed, as this test wants it to");
    });
    assert!(panicked.join().is_err());
    child.asks();
    child.hears();
}

#[test]
fn what_has_ended_cannot_be_paused() {
    let mut child = InRole::plain("clock");
    dspex_chaos::fault::kill::kill(child.pid()).expect("killed");
    let error = Pause::begin(child.pid()).expect_err("it has ended");
    assert!(error.to_string().contains("ended before it could be paused"), "{error}");
    child.wait();
    assert!(Pause::begin(child.pid()).is_err());
}
