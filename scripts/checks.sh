# shellcheck shell=bash
# The read-only checks, shared by verify.sh and test.sh. Sourced, after setup.sh.

check_scripts() {
    local script
    for script in .ci/run scripts/*.sh; do bash -n "$script" || return 1; done
    if command -v shellcheck >/dev/null 2>&1; then
        shellcheck -x .ci/run scripts/*.sh
    fi
}

check_rust_format() { cargo fmt --all --check; }

# In the build's own profile: RocksDB's C++ is compiled once for both.
check_rust_lints() { cargo clippy --release --workspace --all-targets "${LOCKED[@]}" -- -D warnings; }

check_python_format() { "$VENV/bin/ruff" format --check .; }

check_python_lints() { "$VENV/bin/ruff" check .; }

check_python_types() { (cd python-runtime/python && "$VENV/bin/mypy"); }

# One crate alone has the features it has in the whole workspace with its tests: what `make build` and `make wheel` need is what
# `make test` has built, and the program that is tested is the one that is shipped.
check_features() {
    local whole alone
    whole=$(crate_features --workspace --edges normal,dev) || return 1
    alone=$(crate_features --package dspex --edges normal) || return 1
    # Crates of several versions stand there more than once: a line that the whole does not have is a difference.
    alone=$(comm -13 <(printf '%s\n' "$whole") <(printf '%s\n' "$alone"))
    [[ -z $alone ]] || { printf 'built with other features for the program alone:\n%s\n' "$alone" >&2; return 1; }
}

# The crates that programs are linked of, a line each, with their features.
crate_features() {
    cargo tree "${LOCKED[@]}" --prefix none --format '{p} [{f}]' "$@" | sed 's/ (\*)$//' | sort -u
}

# Advisories need a database from the network; licences, bans and sources do not.
check_dependencies() { cargo deny --offline check bans licenses sources; }

# `checks`: everything that is quick. Clippy comes separately, because it wants a build first.
quick_checks() {
    step "Scripts" check_scripts
    step "Rust format" check_rust_format
    step "Features" check_features
    step "Python format" check_python_format
    step "Python lints" check_python_lints
    step "Python types" check_python_types
    if command -v cargo-deny >/dev/null 2>&1; then
        step "Licences and bans" check_dependencies
    else
        skipped "Licences and bans" "cargo-deny is not installed (the test architecture.rs holds the edges anyway)."
    fi
}
