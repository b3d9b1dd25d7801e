#!/usr/bin/env bash
# make bench: DSPex beside dspy in the same run, JSON lines on stdout. What is measured: benches/README.md.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/setup.sh
source "$ROOT/scripts/setup.sh"

set_up
build_workspace
exec "$VENV/bin/python" benches/run.py "$@"
