//! A fault that this machine cannot have is a counted skip, never a silent pass.

use std::fs::OpenOptions;
use std::io::Write;

/// Whether a test can go on. Else it says why not, on stderr and in the file that `DSPEX_TEST_SKIPS` names, a line each.
pub fn is_available(test: &str, probe: Result<(), String>) -> bool {
    let Err(why) = probe else { return true };
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("DSPEX_TEST_SKIPS") {
        let mut file = OpenOptions::new().create(true).append(true).open(path).expect("DSPEX_TEST_SKIPS names a file");
        writeln!(file, "skipped: {test}: {why}").expect("the skip is written down");
    }
    false
}
