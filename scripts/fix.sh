#!/usr/bin/env bash
# make fix: formatting and the lints that a tool can mend.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/setup.sh
source "$ROOT/scripts/setup.sh"

set_up
cargo fmt --all
"$VENV/bin/ruff" check --fix . || say "ruff left something for a person."
"$VENV/bin/ruff" format .
