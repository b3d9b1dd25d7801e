# shellcheck shell=bash
# The virtual environment .venv: pinned, hashed requirements and the package of this checkout. Sourced by setup.sh.
#
# uv installs it, because pip needs minutes for what uv does in seconds; uv itself comes from the package
# registry by pip, pinned and hashed too. Where uv cannot reach the registry (a mirror that only pip knows), pip does all.

# What decides the contents of .venv. When it changes, .venv is made anew.
environment_stamp() {
    {
        echo "$ROOT"
        "$1" -c 'import sys; print(sys.executable, sys.version)'
        cat requirements/dev.txt requirements/installer.txt scripts/python.sh
    } | sha256sum | cut -d ' ' -f 1
}

# Prints the path of the pinned uv; fails where it cannot be had.
installer() {
    local python=$1 home
    home="$CACHE/installer-$({ "$python" -c 'import sys; print(sys.executable, sys.version)'; cat requirements/installer.txt; } | sha256sum | cut -c 1-16)"
    if [[ ! -x $home/bin/uv ]]; then
        rm -rf "$home" "$home.new"
        # Made beside and renamed: an interrupted set-up leaves nothing half done. uv does not mind the move.
        "$python" -m venv "$home.new" >&2 &&
            "$home.new/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements/installer.txt >&2 &&
            mv "$home.new" "$home" || return 1
    fi
    echo "$home/bin/uv"
}

# The interpreter of an environment beside .venv, from requirements/NAME.txt; made where there is none. For tests and benchmarks
# only, and so in the cache: nobody's checkout needs it.
side_environment() {
    local name=$1 what=$2 python=$FOUND_PYTHON home uv
    home="$CACHE/$name-$({ "$python" -c 'import sys; print(sys.executable, sys.version)'; cat "requirements/$name.txt" scripts/python.sh; } | sha256sum | cut -c 1-16)"
    if [[ ! -x $home/bin/python || ! -f $home/.complete ]]; then
        say "Making an environment with $what ..."
        rm -rf "$home"
        if uv=$(installer "$python") && UV_PYTHON_DOWNLOADS=never "$uv" venv -q --no-config --clear --python "$python" "$home" >&2; then
            "$uv" pip install -q --no-config --system-certs --python "$home/bin/python" --require-hashes --no-deps \
                -r "requirements/$name.txt" >&2 || return 1
        else
            "$python" -m venv --clear "$home" >&2 || return 1
            "$home/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --no-deps \
                -r "requirements/$name.txt" >&2 || return 1
        fi
        touch "$home/.complete"
    fi
    echo "$home/bin/python"
}

oldest_dspy() { side_environment dspy331 "dspy 3.3.1 for the tests"; }

with_ray() { side_environment bench "Ray for the benchmarks"; }

# With the system's certificates, like pip: a company's proxy has one of its own.
install_with_uv() {
    local python=$1 uv
    uv=$(installer "$python") || return 1
    UV_PYTHON_DOWNLOADS=never "$uv" venv -q --no-config --clear --prompt dspex --python "$python" "$VENV" &&
        "$uv" pip install -q --no-config --system-certs --python "$VENV/bin/python" --require-hashes --no-deps -r requirements/dev.txt
}

install_with_pip() {
    local python=$1
    "$python" -m venv --clear --prompt dspex "$VENV" &&
        "$VENV/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
}

# A .venv that somebody else made is never replaced. An empty directory is nobody's.
is_ours() {
    [[ ! -e $VENV ]] || [[ -z $(ls -A "$VENV") ]] || grep -qs '^prompt = .*dspex' "$VENV/pyvenv.cfg"
}

install_python_environment() {
    local python=$FOUND_PYTHON stamp
    stamp=$(environment_stamp "$python")
    if [[ -f $VENV/.stamp && $(<"$VENV/.stamp") == "$stamp" ]]; then return; fi
    is_ours || fail "$VENV exists and was not made by DSPex" "Move it away: make puts a virtual environment of its own there."
    say "Making .venv with dspy and the tools for tests ($("$python" --version), about 900 MB, 20 s to 3 minutes) ..."
    install_with_uv "$python" >&2 || {
        say "uv could not do it; trying with pip, which takes some minutes ..."
        install_with_pip "$python" >&2 ||
            fail "the Python packages could not be installed" "Check the network and pip's configuration (pip config list), then run the command again."
    }
    # The package of this checkout, importable without being installed: a path is all it needs.
    "$VENV/bin/python" - "$ROOT/python-runtime/python" <<'PY'
import pathlib, sys, sysconfig
pathlib.Path(sysconfig.get_path("purelib"), "dspex.pth").write_text(sys.argv[1] + "\n")
PY
    # Proves that it works, and compiles dspy's bytecode so that the first worker starts as quickly as the later ones.
    (cd / && LITELLM_LOCAL_MODEL_COST_MAP=True "$VENV/bin/python" -c 'import cloudpickle, dspy, msgspec, dspex') ||
        fail "the packages in .venv do not import" "Remove $VENV and run the command again; if it stays so, report it with the lines above."
    echo "$stamp" >"$VENV/.stamp"
}
