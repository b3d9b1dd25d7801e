# shellcheck shell=bash
# All the set-up there is: system packages, checks, Rust, .venv. Quick where nothing is to be done. Sourced, after lib.sh.
# shellcheck source=scripts/preflight.sh
source "$ROOT/scripts/preflight.sh"
# shellcheck source=scripts/system-packages.sh
source "$ROOT/scripts/system-packages.sh"
# shellcheck source=scripts/python.sh
source "$ROOT/scripts/python.sh"

set_up() {
    lock
    find_python
    install_system_packages
    find_python
    preflight
    install_python_environment
    unlock
}

# Compiles everything that tests, demo and benchmarks run, and puts the program beside the interpreter that it will use.
build_workspace() {
    local jobs
    jobs=${CARGO_BUILD_JOBS:-$(build_jobs)}
    export CARGO_BUILD_JOBS=$jobs
    if [[ -x $CARGO_TARGET_DIR/release/dspex ]]; then
        say "Building DSPex ..."
    else
        say "Building DSPex: the first build takes about 15 minutes on 2 cores (jobs: $jobs, into $CARGO_TARGET_DIR) ..."
    fi
    # The whole workspace in one go: a part built alone would unify features differently and compile its dependencies again.
    cargo build --release --workspace "${LOCKED[@]}" "$@" || return 1
    install_program
}

# A copy, not a link: the program finds its interpreter beside itself, and another checkout may build into the same target.
install_program() {
    local built="$CARGO_TARGET_DIR/release/dspex"
    if ! cmp -s "$built" "$PROGRAM"; then
        cp --reflink=auto "$built" "$PROGRAM.new"
        mv -f "$PROGRAM.new" "$PROGRAM"
    fi
}
