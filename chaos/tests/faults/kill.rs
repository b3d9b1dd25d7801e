use std::os::unix::process::ExitStatusExt;

use dspex_chaos::fault::kill;

use crate::child::InRole;
use crate::skip::is_available;

#[test]
fn a_killed_process_is_gone_by_the_signal_that_cannot_be_caught() {
    if !is_available("kill", kill::probe()) {
        return;
    }
    let mut child = InRole::plain("clock");
    child.asks();
    child.hears();
    kill::kill(child.pid()).expect("killed");
    let state = std::fs::read_to_string(format!("/proc/{}/stat", child.pid())).expect("not reaped yet");
    assert!(state.contains(") Z "), "{state}");
    assert_eq!(child.wait().signal(), Some(9));
    let error = kill::kill(child.pid()).expect_err("it is gone");
    assert!(error.to_string().starts_with(&format!("process {}: ", child.pid())), "{error}");
}
