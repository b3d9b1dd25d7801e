#!/usr/bin/env bash
# make wheel: leaves dist/dspex-*.whl, the program and the Python package in one.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/setup.sh
source "$ROOT/scripts/setup.sh"
# shellcheck source=scripts/packaging.sh
source "$ROOT/scripts/packaging.sh"

set_up
make_wheel || fail "the wheel could not be made" "Read the lines above; make build says more where it is the program that fails."
wheels=(dist/dspex-*.whl)
say "Built in $SECONDS s: ${wheels[0]}"
