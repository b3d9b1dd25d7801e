//! Where the program, the interpreter and the checkout are.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The program under test.
///
/// # Panics
/// When it has not been built.
pub fn program() -> PathBuf {
    let path = env::var_os("DSPEX_TEST_PROGRAM").map_or_else(built_program, PathBuf::from);
    assert!(
        path.is_file(),
        "there is no program {}: `cargo build --release --workspace` makes it, DSPEX_TEST_PROGRAM names another",
        path.display()
    );
    path
}

/// The interpreter for programs: one with dspy, cloudpickle, msgspec, pandas and pyarrow.
///
/// # Panics
/// When there is none.
pub fn interpreter() -> PathBuf {
    let path = env::var_os("DSPEX_TEST_PYTHON").map_or_else(|| checkout().join(".venv/bin/python"), PathBuf::from);
    assert!(
        path.is_file(),
        "there is no interpreter {}: `make build` makes it, DSPEX_TEST_PYTHON names another",
        path.display()
    );
    path
}

/// The directory of the workspace.
pub fn checkout() -> &'static Path {
    // Asked when the test runs: checkouts that share a target directory share the compiled tests.
    static CHECKOUT: LazyLock<PathBuf> = LazyLock::new(|| {
        let tests = env::var_os("CARGO_MANIFEST_DIR").expect("cargo and nextest tell a test where its package lies");
        Path::new(&tests).join("..").canonicalize().expect("the workspace is there")
    });
    &CHECKOUT
}

/// Where the projects of all suites lie. Programs of a cluster may write there: some count how often they are executed.
///
/// # Panics
/// When it cannot be made.
pub fn projects() -> PathBuf {
    let path = env::temp_dir().join(format!("dspex-projects-{}", rustix::process::geteuid().as_raw()));
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

/// This process is `TARGET/release/deps/SUITE-HASH`.
fn built_program() -> PathBuf {
    let own = env::current_exe().unwrap_or_default();
    let release = own.ancestors().nth(2).unwrap_or(Path::new(""));
    release.join("dspex")
}
