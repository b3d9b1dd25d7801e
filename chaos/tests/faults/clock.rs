use std::process::Command;
use std::time::{Duration, Instant};

use dspex_chaos::fault::clock::{self, Clock};
use dspex_chaos::fault::kill;

use crate::child::InRole;
use crate::skip::is_available;

const HOUR_MS: i64 = 3_600_000;

/// Wall clock and monotonic clock of the child, in milliseconds.
fn clocks(child: &mut InRole) -> (i64, i64) {
    child.asks();
    let said = child.hears();
    let (wall, monotonic) = said.split_once(' ').expect("two clocks");
    (wall.parse().expect("a number"), monotonic.parse().expect("a number"))
}

/// How far the wall clock went ahead of the monotonic one since `from`, once it differs by half an hour or more.
fn jumped(child: &mut InRole, from: (i64, i64)) -> i64 {
    let begun = Instant::now();
    loop {
        let (wall, monotonic) = clocks(child);
        let ahead = (wall - from.0) - (monotonic - from.1);
        if ahead.abs() > HOUR_MS / 2 || begun.elapsed() > Duration::from_secs(10) {
            assert!(monotonic - from.1 < 20_000, "the monotonic clock goes on as it did");
            return ahead;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_wall_clock_of_a_running_process_jumps_and_its_monotonic_clock_does_not() {
    if !is_available("clock", clock::probe()) {
        return;
    }
    let mut clock = Clock::new().expect("a clock");
    let mut child = InRole::start("clock", |program| {
        let mut command = Command::new(program);
        command.envs(clock.environment());
        command
    });
    let before = clocks(&mut child);
    let own = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    assert!((before.0 - own as i64).abs() < 10_000, "it starts right");
    clock.jump(2 * 3600).expect("set");
    let ahead = jumped(&mut child, before);
    assert!((ahead - 2 * HOUR_MS).abs() < 5000, "{ahead} ms ahead");
    let later = clocks(&mut child);
    clock.jump(-3 * 3600).expect("set");
    assert_eq!(clock.ahead_seconds(), -3600);
    let back = jumped(&mut child, later);
    assert!((back + 3 * HOUR_MS).abs() < 5000, "{back} ms ahead");
    kill::kill(child.pid()).expect("killed");
    clock.clean_up_after(child.pid());
    let left = std::fs::read_dir("/dev/shm").expect("readable").flatten();
    let own = format!("_{}", child.pid());
    assert_eq!(left.filter(|entry| entry.file_name().to_string_lossy().ends_with(&own)).count(), 0);
}
