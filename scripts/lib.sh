# shellcheck shell=bash
# shellcheck disable=SC2034 # What is set here is used by the scripts that source it.
# What every script starts with: strict mode, the places, and how to talk. Sourced, never run.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/dspex"
# Outside the checkout, so that a clean clone does not compile RocksDB again.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/target}"
VENV="$ROOT/.venv"
PROGRAM="$VENV/bin/dspex"

# rustup's usual place, which `sudo` and fresh shells leave out of PATH. Finding `cargo` says nothing: it may be
# the distribution's, which is too old.
if ! command -v rustup >/dev/null 2>&1 && [[ -x "$HOME/.cargo/bin/rustup" ]]; then
    PATH="$HOME/.cargo/bin:$PATH"
fi

cd "$ROOT"

# Everything said goes to stderr: stdout belongs to the command that was asked for.
say() { printf 'dspex: %s\n' "$*" >&2; }

fail() {
    printf 'dspex: error: %s\n' "$1" >&2
    shift
    local line
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}

# One shell at a time sets things up, also where several checkouts share a cache.
lock() {
    mkdir -p "$CACHE"
    exec 9>"$CACHE/lock"
    if ! flock -n 9; then
        say "Waiting for another DSPex set-up on this machine ..."
        flock 9
    fi
}

unlock() { exec 9>&-; }

mib() { echo $(($1 / 1048576)); }

# Memory that this process may use, in bytes: the machine's, or the container's limit where that is lower.
memory_limit_bytes() {
    local total file limit
    total=$(awk '/^MemTotal:/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)
    for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
        [[ -r $file ]] || continue
        limit=$(<"$file")
        if [[ $limit =~ ^[0-9]{1,18}$ ]] && ((limit < total)); then total=$limit; fi
    done
    echo "$total"
}

# Compilers at once: as many as there are CPUs, at about 1.5 GiB each (RocksDB's largest files).
build_jobs() {
    local cpus by_memory
    cpus=$(nproc)
    by_memory=$(($(memory_limit_bytes) / 1610612736))
    ((by_memory >= 1)) || by_memory=1
    ((by_memory < cpus)) && cpus=$by_memory
    echo "$cpus"
}

# In CI the lock file must be complete; elsewhere Cargo may add what a changed Cargo.toml asks for.
LOCKED=()
if [[ -n ${CI:-} ]]; then LOCKED=(--locked); fi

# step NAME COMMAND...: runs it, prints how long it took, remembers a failure instead of ending the script.
STEPS=()
FAILED=0
step() {
    local name=$1 status=0 started=$SECONDS
    shift
    say "$name ..."
    "$@" || status=$?
    local took=$((SECONDS - started))
    if ((status == 0)); then
        STEPS+=("$(printf 'ok      %5d s  %s' "$took" "$name")")
        say "$name: ok in $took s."
    else
        STEPS+=("$(printf 'FAILED  %5d s  %s' "$took" "$name")")
        FAILED=$((FAILED + 1))
        say "$name: FAILED after $took s (exit code $status)."
    fi
}

skipped() {
    STEPS+=("$(printf 'skipped          %s' "$1")")
    say "$1: skipped, $2"
}

# Passes on what pytest -rs says, and adds the tests that it has skipped to those that Rust's have told of (tests/src/skip.rs).
noting_skips() {
    local said
    said=$(mktemp)
    tee "$said"
    awk '/^SKIPPED \[[0-9]+\] / {
        count = $2
        gsub(/[^0-9]/, "", count)
        sub(/^SKIPPED \[[0-9]+\] /, "skipped: ")
        for (; count > 0; count--) print
    }' "$said" >> "${DSPEX_TEST_SKIPS:-/dev/null}"
    rm -f "$said"
}

# Which tests were skipped, and why: that all steps passed says nothing of them.
tell_skipped_tests() {
    local file=${DSPEX_TEST_SKIPS:-}
    [[ -s $file ]] || return 0
    say "$(wc -l < "$file") tests were skipped:"
    sort "$file" | uniq -c | sed 's/^\( *[0-9]*\) skipped: /\1  /' >&2
}

# The list of steps, and of the tests that were skipped; the script's exit code.
summary() {
    printf '\n' >&2
    local line
    for line in "${STEPS[@]}"; do printf '  %s\n' "$line" >&2; done
    printf '\n' >&2
    tell_skipped_tests
    if ((FAILED > 0)); then
        say "$FAILED of ${#STEPS[@]} steps failed."
        exit 1
    fi
    say "All steps passed in $SECONDS s."
}
