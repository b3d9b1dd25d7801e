#!/usr/bin/env bash
# make bench: DSPex beside dspy and other pools in the same run, JSON lines on stdout. What is measured: benches/README.md.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/setup.sh
source "$ROOT/scripts/setup.sh"

set_up
build_workspace
# Calls from Rust, which no program makes.
cargo build --release --workspace --example pool_round_trips "${LOCKED[@]}"
if DSPEX_BENCH_RAY_PYTHON=$(with_ray); then
    export DSPEX_BENCH_RAY_PYTHON
else
    say "Ray could not be installed; its figures will be missing."
fi
exec "$VENV/bin/python" benches/run.py "$@"
