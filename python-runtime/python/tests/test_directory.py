"""A real worker whose program changes the working directory: the next example or call begins where the first did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Worker, Zygote

SERVE, CALLS, SERVING, REPLIES = 6, 7, 24, 25
TOOLS = """
import os, shutil, time

def where():
    return os.getcwd()

def go(to, seconds=0):
    os.chdir(to)
    time.sleep(seconds)
    return os.getcwd()

def fail(to):
    os.chdir(to)
    raise LookupError("told to")

def vanish():
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")

def move():
    os.rename("../project", "../moved")
    os.mkdir("../project")

def remove():
    shutil.rmtree(os.getcwd())
"""


class Served:
    """Calls the functions of TOOLS on a worker in `directory`."""

    def __init__(self, zygote: Zygote, directory: Path, threads: int) -> None:
        tools = directory.parent / "tools.py"
        tools.write_text(TOOLS)
        self._tools = tools
        self.worker: Worker = zygote.fork(directory)
        order = {"pool": "general", "threads": threads, "commands": [], "lm": None, "protocol": 1}
        self.worker.connection.send(SERVE, order)
        self.worker.connection.expect(SERVING)

    def call(self, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        """The results in order, None for what raised."""
        frame = [
            [number, f"{self._tools}:{name}", json.dumps(given).encode(), None, None]
            for number, (name, given) in enumerate(calls)
        ]
        self.worker.connection.send(CALLS, {"calls": frame})
        replies: dict[int, Any] = {}
        while len(replies) < len(calls):
            for number, status, body, *_ in self.worker.connection.expect(REPLIES)["replies"]:
                replies[number] = json.loads(body) if status == 0 else None
        return [replies[number] for number in range(len(calls))]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def served(zygote: Zygote, directory: Path) -> Iterator[Served]:
    served = Served(zygote, directory, 1)
    yield served
    served.worker.connection.close()


@pytest.mark.parametrize("change", [("go", {"to": "/"}), ("fail", {"to": "/"}), ("vanish", {})])
def test_a_call_begins_where_the_first_one_did(
    served: Served, directory: Path, change: tuple[str, dict[str, Any]]
) -> None:
    assert served.call(change, ("where", {}))[1] == str(directory)


def test_a_directory_that_was_made_anew_is_the_new_one(served: Served, directory: Path) -> None:
    assert served.call(("remove", {}), ("where", {})) == [None, None]
    directory.mkdir()
    # What comes first still has the old one; afterwards the new one is found.
    assert served.call(("where", {}), ("where", {}))[1] == str(directory)


def test_a_directory_that_was_moved_is_the_one_in_its_place(served: Served, directory: Path) -> None:
    assert served.call(("move", {}), ("where", {}))[1] == str(directory)


def test_with_several_threads_it_is_put_back_once_none_executes(zygote: Zygote, directory: Path) -> None:
    served = Served(zygote, directory, 2)
    # The second ends while the first is in its own directory.
    assert served.call(("go", {"to": "/", "seconds": 0.5}), ("where", {}))[0] == "/"
    assert served.call(("where", {})) == [str(directory)]
    served.worker.connection.close()


def test_an_example_begins_where_the_imports_left_it(zygote: Zygote, directory: Path) -> None:
    (directory / "data").mkdir()
    (directory / "wanders.py").write_text(
        "import os\n"
        "import dspy\n"
        "os.chdir('data')\n"
        "class P(dspy.Module):\n"
        "    def forward(self, action):\n"
        "        before = os.getcwd()\n"
        "        if action == 'go':\n"
        "            os.chdir('/')\n"
        "        return dspy.Prediction(before=before)\n"
        "def metric(example, prediction):\n    return 1\n"
    )
    worker = zygote.fork(directory)
    worker.load("wanders.py:P", metric="metric", columns=["action"])
    results = worker.execute([{"action": action} for action in ("go", "go", "stay")])
    assert [json.loads(result[4])["before"] for result in results] == [str(directory / "data")] * 3
    worker.connection.close()
