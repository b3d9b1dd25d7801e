//! Where the program under test is.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use dspex_chaos::cluster::Program;

/// The program, and an interpreter for it.
pub fn program() -> Program {
    let path = env::var_os("DSPEX_TEST_PROGRAM").map_or_else(built, PathBuf::from);
    assert!(
        path.is_file(),
        "there is no program {}: `cargo build --release --workspace` makes it, DSPEX_TEST_PROGRAM names another",
        path.display()
    );
    // As the other suites: what calls code needs one with DSPy.
    let python = env::var_os("DSPEX_TEST_PYTHON").map_or_else(|| checkout().join(".venv/bin/python"), PathBuf::from);
    Program::with(&path, python.is_file().then_some(python.as_path()))
}

/// Asked when the test runs: checkouts that share a target directory share the compiled tests.
fn checkout() -> &'static Path {
    static CHECKOUT: LazyLock<PathBuf> = LazyLock::new(|| {
        let chaos = env::var_os("CARGO_MANIFEST_DIR").expect("cargo and nextest tell a test where its package lies");
        Path::new(&chaos).join("..").canonicalize().expect("the workspace is there")
    });
    &CHECKOUT
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
