#!/usr/bin/env bash
# make bench: DSPex beside dspy, other pools, etcd, Ray and Dask in the same run, JSON lines on stdout. What is measured: benches/README.md.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/setup.sh
source "$ROOT/scripts/setup.sh"

set_up
build_workspace
# Calls from Rust, which no program makes, and the client of the clusters.
cargo build --release --workspace --example pool_round_trips --example execution_pages --example consensus_load "${LOCKED[@]}"
if DSPEX_BENCH_RAY_PYTHON=$(with_ray); then
    export DSPEX_BENCH_RAY_PYTHON
else
    say "Ray and Dask could not be installed; their figures will be missing."
fi
if DSPEX_BENCH_ETCD=${DSPEX_BENCH_ETCD:-$(with_etcd)}; then
    export DSPEX_BENCH_ETCD
else
    unset DSPEX_BENCH_ETCD
    say "etcd could not be fetched; its figures will be missing."
fi
exec "$VENV/bin/python" benches/run.py "$@"
