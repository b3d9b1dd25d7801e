//! A fault that a machine cannot produce is a counted skip, never a silent pass.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that a test is skipped and why, on stderr and in the file that `DSPEX_TEST_SKIPS` names, a line each.
pub fn skip(test: &str, why: &str) {
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("DSPEX_TEST_SKIPS") {
        let mut file = OpenOptions::new().create(true).append(true).open(path).expect("DSPEX_TEST_SKIPS names a file");
        writeln!(file, "skipped: {test}: {why}").expect("the skip is written down");
    }
}
