#!/usr/bin/env bash
# make soak: clusters are broken in rounds until enough was done or SOAK_MINUTES are over. The next call goes on with what is left; rounds and the
# histories of red ones lie in SOAK_DIRECTORY.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/setup.sh
source "$ROOT/scripts/setup.sh"

set_up
install_fault_packages
build_workspace
exec "$CARGO_TARGET_DIR/release/dspex-chaos" soak --program "$PROGRAM" --python "$VENV/bin/python" --minutes "${SOAK_MINUTES:-120}" \
    --into "${SOAK_DIRECTORY:-$CACHE/soak}"
