# shellcheck shell=bash
# The wheel, and the tests of what is made of it: images, manifests, units. Sourced, after setup.sh.

# Leaves dist/dspex-*.whl, with the program and the package. The crate is built alone, which builds nothing anew after
# `make build`: its features are those of the whole workspace (node/Cargo.toml says how).
make_wheel() {
    local python whole work="$ROOT/dist/.work"
    python=$(side_environment wheel "maturin for the wheel") || return 1
    rm -rf "$ROOT/dist"
    mkdir -p "$work"
    CARGO_BUILD_JOBS=${CARGO_BUILD_JOBS:-$(build_jobs)}
    export CARGO_BUILD_JOBS
    (cd python-runtime/python && "${python%/*}/maturin" build --release "${LOCKED[@]}" --out "$work") >&2 || return 1
    # Without line tables it is a third as long, and backtraces still name functions. Not by maturin's --strip, which would
    # compile the last crate once more.
    whole=("$work"/dspex-*.whl)
    "$python" -m wheel unpack --dest "$work" "${whole[0]}" >&2 || return 1
    strip --strip-debug "$work"/dspex-*/dspex-*.data/scripts/dspex || return 1
    SOURCE_DATE_EPOCH=315532800 "$python" -m wheel pack --dest-dir "$ROOT/dist" "$work"/dspex-*[0-9] >&2 || return 1
    rm -rf "$work"
}

# Tests of deploy/ and k8s/ have an environment of their own. What they cannot have on a machine (Docker, kustomize, another
# Python) they skip, and say why.
deployment_tests() {
    local python uv
    python=$(side_environment deployment "checkov and kubernetes-validate") || return 1
    # Makes the environments in which the wheel is tried; without it pip does, in minutes.
    uv=$(installer "$FOUND_PYTHON") || uv=
    DSPEX_TEST_UV="$uv" "$python" -m pytest -rs --verbosity=0 -p no:cacheprovider deploy/tests | noting_skips
}
