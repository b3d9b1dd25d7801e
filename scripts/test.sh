#!/usr/bin/env bash
# make test: set-up, build, every check, every test. All steps run even where one fails; the list at the end says which.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/setup.sh
source "$ROOT/scripts/setup.sh"
# shellcheck source=scripts/checks.sh
source "$ROOT/scripts/checks.sh"
# shellcheck source=scripts/packaging.sh
source "$ROOT/scripts/packaging.sh"

rust_tests() {
    if command -v cargo-nextest >/dev/null 2>&1; then
        cargo nextest run --release --workspace --no-fail-fast "${LOCKED[@]}"
    else
        cargo test --release --workspace --lib --bins --tests --no-fail-fast "${LOCKED[@]}"
    fi
}

# nextest does not run them.
doc_tests() { cargo test --release --workspace --doc --no-fail-fast "${LOCKED[@]}"; }

# CI reads the closing line, which --quiet in the settings would leave bare.
# DSPEX_PROGRAM: the driver's tests run against the real program, not against their stand-in for it.
python_tests() { (cd python-runtime/python && DSPEX_PROGRAM="$PROGRAM" "$VENV/bin/python" -m pytest -rs --verbosity=0) | noting_skips; }

# The other end of what is supported. The package is found beside its tests.
python_tests_oldest_dspy() {
    local python
    python=$(oldest_dspy) || return 1
    (cd python-runtime/python && DSPEX_PROGRAM="$PROGRAM" DSPEX_TEST_PYTHON="$python" PYTHONPATH=. "$python" -m pytest -rs --verbosity=0) |
        noting_skips
}

# What a machine cannot have (Docker, another Python, a fault) is skipped: each such test adds a line here, and the summary counts them.
if [[ -z ${DSPEX_TEST_SKIPS:-} ]]; then
    DSPEX_TEST_SKIPS=$(mktemp)
    trap 'rm -f "$DSPEX_TEST_SKIPS"' EXIT
fi
export DSPEX_TEST_SKIPS

set_up
install_fault_packages
say "Set up in $SECONDS s."
# The suites drive the program that was built and installed, with the interpreter beside it.
export DSPEX_TEST_PROGRAM="$PROGRAM" DSPEX_TEST_PYTHON="$VENV/bin/python"
quick_checks
step "Build" build_workspace --all-targets
# Without a program there is nothing to test; an old one would only mislead.
[[ ${STEPS[-1]} == ok* ]] || summary
step "Rust lints" check_rust_lints
step "Rust tests" rust_tests
step "Rust doc tests" doc_tests
step "Python tests" python_tests
step "Python tests, dspy 3.3.1" python_tests_oldest_dspy
step "Wheel" make_wheel
step "Wheel, image and manifests" deployment_tests
summary
