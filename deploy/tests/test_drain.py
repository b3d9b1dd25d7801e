"""The preStop of a node without a vote, with real processes: it asks a voter to drain it, and never fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT, COMPLETE

DRAIN = CHECKOUT / "deploy/image/dspex-drain"
END_LIMIT = 90


@pytest.fixture
def nodes(program: Path, tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """One voter and one node without a vote, as `dspex dev` describes them."""
    python = Path(os.environ.get("DSPEX_TEST_PYTHON") or CHECKOUT / ".venv/bin/python")
    if not python.is_file():
        assert not COMPLETE, f"there is no interpreter {python}"
        pytest.skip("there is no interpreter with dspy: make build, or DSPEX_TEST_PYTHON")
    asked = [str(program), "dev", "--nodes", "1", "--worker-nodes", "1", "-o", "json", "--python", str(python)]
    log = tmp_path / "log"
    with log.open("w") as errors:
        running = subprocess.Popen(
            asked, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=tmp_path, env=environment(tmp_path)
        )
    try:
        assert running.stdout is not None
        said = ""
        for line in running.stdout:
            said += line
            try:
                found = json.loads(said)
            except ValueError:
                continue
            break
        else:
            raise AssertionError(log.read_text())
        yield found["nodes"]
    finally:
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=END_LIMIT) == 0, log.read_text()


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "DSPEX_HOME": str(home / "home"), **more}


def test_a_voter_drains_a_node_that_cannot_do_so_itself(
    nodes: list[dict[str, Any]], program: Path, tmp_path: Path
) -> None:
    voter, worker = nodes
    assert (voter["role"], worker["role"]) == ("voter", "worker")
    # The script finds the program as in the image, on PATH.
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "dspex").symlink_to(program)
    path = f"{programs}:{os.environ['PATH']}"
    own = {"DSPEX_ADDRESS": worker["api_address"], "DSPEX_TOKEN_FILE": worker["token_file"]}
    names = {"DSPEX_NODE__ROLE": "worker", "DSPEX_NODE__NAME": worker["name"]}

    def drained(token: str) -> subprocess.CompletedProcess[str]:
        where = {"DSPEX_DRAIN_ADDRESS": voter["api_address"], "DSPEX_DRAIN_TOKEN_FILE": token}
        given = environment(tmp_path, **own, **names, **where) | {"PATH": path}
        asked = [sys.executable, "-I", str(DRAIN), "0"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=120, env=given)

    def draining() -> bool:
        asked = [str(program), "member", "list", "-o", "json"]
        given = environment(tmp_path, DSPEX_ADDRESS=voter["api_address"], DSPEX_TOKEN_FILE=voter["token_file"])
        said = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True, env=given).stdout
        (found,) = (member for member in json.loads(said)["items"] if member["name"] == worker["name"])
        return bool(found["draining"])

    # Without the Secret, and with a token that opens other nodes only: SIGTERM comes next all the same.
    for token in (str(tmp_path / "nothing"), worker["token_file"]):
        refused = drained(token)
        assert refused.returncode == 0, refused.stderr
        assert "was not drained" in refused.stderr
    assert not draining()

    done = drained(voter["token_file"])
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert f"{worker['name']} has nothing of runs left" in done.stdout
    assert draining()
