#!/usr/bin/env bash
# make build: leaves .venv/bin/dspex and .venv/bin/python.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/setup.sh
source "$ROOT/scripts/setup.sh"

set_up
build_workspace
say "Built in $SECONDS s: .venv/bin/dspex"
