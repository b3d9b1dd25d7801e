//! Where the program under test is.

use std::env;
use std::path::{Path, PathBuf};

use dspex_chaos::cluster::Program;

/// The program, and an interpreter for it.
pub fn program() -> Program {
    let path = env::var_os("DSPEX_TEST_PROGRAM").map_or_else(built, PathBuf::from);
    assert!(
        path.is_file(),
        "there is no program {}: `cargo build --release --workspace` makes it, DSPEX_TEST_PROGRAM names another",
        path.display()
    );
    Program::beside(&path)
}

/// This process is `TARGET/release/deps/SUITE-HASH`.
fn built() -> PathBuf {
    let own = env::current_exe().unwrap_or_default();
    own.ancestors().nth(2).unwrap_or(Path::new("")).join("dspex")
}

/// Another one each time, printed by the report; `DSPEX_CHAOS_SEED` brings one back.
pub fn seed() -> u64 {
    let given = env::var("DSPEX_CHAOS_SEED").ok();
    given.map_or_else(|| u64::from(std::process::id()), |text| text.parse().expect("DSPEX_CHAOS_SEED is a number"))
}
