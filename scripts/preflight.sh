# shellcheck shell=bash
# What has to be there before a long build starts, each with what to do about it. Sourced by setup.sh.

LEAST_PYTHON='(3, 10)'
LAST_PYTHON='(3, 14)'
FIRST_BUILD_MIB=12288
LATER_BUILD_MIB=2048
LEAST_MEMORY_MIB=3072

# The first interpreter that dspy supports and that can make virtual environments; empty where there is none.
FOUND_PYTHON=
find_python() {
    [[ -z $FOUND_PYTHON ]] || return 0
    local candidate question
    question="import sys, venv, ensurepip; $LEAST_PYTHON <= sys.version_info[:2] <= $LAST_PYTHON and print(sys.executable)"
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.10 python3.14; do
        FOUND_PYTHON=$("$candidate" -c "$question" 2>/dev/null || true)
        [[ -z $FOUND_PYTHON ]] || return 0
    done
}

free_mib() {
    local directory=$1
    # The nearest directory that exists: df cannot look at one that will be made later.
    while [[ ! -d $directory ]]; do directory=$(dirname "$directory"); done
    df --output=avail -BM "$directory" | awk 'NR == 2 { print $1 + 0 }'
}

check_disk() {
    local needed=$FIRST_BUILD_MIB free
    [[ -x $CARGO_TARGET_DIR/release/dspex ]] && needed=$LATER_BUILD_MIB
    free=$(free_mib "$CARGO_TARGET_DIR")
    ((free >= needed)) ||
        fail "only $free MiB are free where the build goes ($CARGO_TARGET_DIR); it needs $needed MiB" \
            "Free some space, or put the build elsewhere: CARGO_TARGET_DIR=/a/larger/disk make ..."
}

check_memory() {
    local memory
    memory=$(mib "$(memory_limit_bytes)")
    # A machine sold with 3 GiB shows a little less.
    ((memory >= LEAST_MEMORY_MIB - 200)) ||
        fail "this machine or container has $memory MiB of memory; compiling RocksDB needs $LEAST_MEMORY_MIB MiB" \
            "Use a larger machine, or raise the container's limit."
}

check_compiler() {
    { command -v cc && command -v c++; } >/dev/null 2>&1 ||
        fail "no C and C++ compiler (cc, c++)" "On Debian and Ubuntu: apt-get install -y build-essential"
    has_libclang ||
        fail "no libclang with its headers" "On Debian and Ubuntu: apt-get install -y libclang-dev; elsewhere set LIBCLANG_PATH."
}

check_python() {
    [[ -n $FOUND_PYTHON ]] ||
        fail "no Python from 3.10 to 3.14 that can make virtual environments" \
            "On Debian and Ubuntu: apt-get install -y python3-venv; elsewhere set PYTHON=/path/to/python3."
}

wanted_toolchain() { sed -n 's/^channel *= *"\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml"; }

# With rustup the toolchain is installed here, so that a failure is seen before anything else is done.
check_toolchain() {
    local wanted
    wanted=$(wanted_toolchain)
    if command -v rustup >/dev/null 2>&1; then
        if rustup which --toolchain "$wanted" cargo-clippy && rustup which --toolchain "$wanted" rustfmt; then return; fi >/dev/null 2>&1
        say "Installing Rust $wanted with rustup (about a minute) ..."
        rustup toolchain install "$wanted" --profile minimal --component rustfmt --component clippy >&2 ||
            fail "rustup could not install Rust $wanted" "Check the network, then try: rustup toolchain install $wanted"
        return
    fi
    command -v cargo >/dev/null 2>&1 ||
        fail "no Rust: neither rustup nor cargo is on the PATH" \
            "Install rustup as the Rust project's install page says (Ubuntu 24.04 has it as a package too:" \
            "apt-get install rustup), open a new shell, and run the command again."
    local found
    found=$(rustc --version | awk '{ print $2 }')
    [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) == "$wanted" ]] ||
        fail "Rust $found is too old, $wanted is needed" "Install rustup; it picks the right version by itself."
}

preflight() {
    check_compiler
    check_python
    check_toolchain
    check_memory
    check_disk
}
