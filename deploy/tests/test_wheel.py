"""The wheel, installed where nothing of the checkout is seen, with each Python and each dspy that can be had here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import CHECKOUT

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"
# The newest dspy with every Python, the oldest with this one.
CASES = [*((version, "run", "3.4") for version in PYTHONS), (THIS, "dspy331", "3.3.1")]


def interpreter(version: str) -> str:
    """Of the PATH, or of pyenv, whose shims do not answer for versions that are not switched on."""
    homes = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for candidate in (shutil.which(f"python{version}"), *sorted(homes.glob(f"{version}.*/bin/python{version}"))):
        if (
            candidate
            and subprocess.run([candidate, "-c", "import venv"], capture_output=True, timeout=60).returncode == 0
        ):
            return str(candidate)
    pytest.skip(f"there is no Python {version} on this machine")


def install(python: str, requirements: str, wheel: Path, home: Path) -> None:
    pinned = str(CHECKOUT / f"requirements/{requirements}.txt")
    inside = str(home / "bin/python")
    uv = os.environ.get("DSPEX_TEST_UV")
    if uv:
        pip = [uv, "pip", "install", "-q", "--no-config", "--system-certs", "--python", inside]
        check = [uv, "pip", "check", "-q", "--no-config", "--python", inside]
        make = [uv, "venv", "-q", "--no-config", "--python", python, str(home)]
    else:
        pip = [inside, "-m", "pip", "install", "-q"]
        check = [inside, "-m", "pip", "check"]
        make = [python, "-m", "venv", str(home)]
    for command in (
        make,
        [*pip, "--require-hashes", "--no-deps", "-r", pinned],
        [*pip, "--no-deps", str(wheel)],
        check,
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@contextmanager
def node_that_ends(program: Path, environment: dict[str, str]) -> Iterator[None]:
    try:
        yield
    finally:
        subprocess.run([program, "local", "stop"], env=environment, capture_output=True, timeout=60)


@pytest.mark.parametrize(("version", "requirements", "dspy"), CASES)
def test_the_wheel_evaluates_and_calls(version: str, requirements: str, dspy: str, wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    install(interpreter(version), requirements, wheel, home)
    program = home / "bin/dspex"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DSPEX_HOME": str(tmp_path / "home")}
    sample = "dspex.samples.digits"
    asked = [
        "eval",
        f"{sample}:few_shot_16",
        "--devset",
        f"{sample}:devset",
        "--metric",
        "exact",
        "--lm",
        f"{sample}:lm",
    ]
    with node_that_ends(program, environment):
        evaluated = subprocess.run(
            [program, *asked, "-o", "json"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert evaluated.returncode == 0, evaluated.stderr
        # The interpreter beside the program, of this very environment.
        assert f"Python {version}." in evaluated.stderr
        assert f"with dspy {dspy}" in evaluated.stderr
        result = json.loads(evaluated.stdout)
        assert (result["score"], result["examples"]) == (60.5, 200)
        script = (
            "import dspex, platform, sys\n"
            "assert dspex.__file__.startswith(sys.argv[1]), dspex.__file__\n"
            "print(dspex.connect().pool('general').call('platform:python_version') == platform.python_version())\n"
        )
        called = subprocess.run(
            [home / "bin/python", "-c", script, str(home)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert called.stdout == "True\n", called.stderr


def test_the_wheel_holds_the_program_and_the_whole_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        (metadata,) = (packed.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
        (program,) = (name for name in names if name.endswith(".data/scripts/dspex"))
        assert packed.getinfo(program).external_attr >> 16 & 0o111 == 0o111
    package = CHECKOUT / "python-runtime/python"
    kept = {str(file.relative_to(package)) for file in (package / "dspex").rglob("*") if file.is_file()}
    kept = {name for name in kept if "__pycache__" not in name}
    assert kept <= names
    # Nothing but these three: what else it would bring could clash with a user's.
    needs = {
        line.partition(":")[2].split(">")[0].strip()
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist")
    }
    assert needs == {"cloudpickle", "dspy", "msgspec"}
    assert not [name for name in names if name.startswith("tests/")]


def test_the_wheel_asks_for_no_newer_system_than_its_name_says(wheel: Path, tmp_path: Path) -> None:
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("objdump is not on this machine")
    with zipfile.ZipFile(wheel) as packed:
        (program,) = (name for name in packed.namelist() if name.endswith(".data/scripts/dspex"))
        file = packed.extract(program, tmp_path)
    said = subprocess.run([objdump, "-p", file], capture_output=True, text=True, timeout=120, check=True).stdout
    needed = {line.split()[1] for line in said.splitlines() if "NEEDED" in line}
    everywhere = {
        "libc.so.6",
        "libm.so.6",
        "libgcc_s.so.1",
        "libstdc++.so.6",
        "ld-linux-x86-64.so.2",
        "ld-linux-aarch64.so.1",
    }
    assert needed <= everywhere
    glibc = max(int(line.split("GLIBC_2.")[1].split(".")[0]) for line in said.splitlines() if "GLIBC_2." in line)
    assert "-manylinux_2_" in wheel.name
    assert glibc <= int(wheel.name.split("-manylinux_2_")[1].split("_")[0])
