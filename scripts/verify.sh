#!/usr/bin/env bash
# make verify: every check but the tests. Changes nothing; `make fix` mends what a tool can mend.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/setup.sh
source "$ROOT/scripts/setup.sh"
# shellcheck source=scripts/checks.sh
source "$ROOT/scripts/checks.sh"

set_up
CARGO_BUILD_JOBS=${CARGO_BUILD_JOBS:-$(build_jobs)}
export CARGO_BUILD_JOBS
quick_checks
step "Rust lints" check_rust_lints
summary
