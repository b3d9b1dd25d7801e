#!/usr/bin/env bash
# make demo: the main job, on a bundled program and three nodes on loopback, with a worker and a node killed on the way.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/setup.sh
source "$ROOT/scripts/setup.sh"

set_up
build_workspace
# Named, because an active virtual or conda environment would come first otherwise.
exec "$PROGRAM" demo --python "$VENV/bin/python" "$@"
