#!/usr/bin/env bash
# make requirements: resolves requirements/*.in and writes the pinned, hashed *.txt, valid for every supported Python.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/preflight.sh
source "$ROOT/scripts/preflight.sh"
# shellcheck source=scripts/python.sh
source "$ROOT/scripts/python.sh"

find_python
uv=$(installer "$FOUND_PYTHON") || fail "the installer could not be had" "Check the network, then run the command again."
for name in run dev dspy331 bench installer wheel deployment; do
    say "Resolving requirements/$name.in ..."
    "$uv" pip compile --quiet --no-config --system-certs --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
        --upgrade --custom-compile-command "make requirements" "requirements/$name.in" -o "requirements/$name.txt"
done
