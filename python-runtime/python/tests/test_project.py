"""A worker whose code was sent along: it imports from where that was unpacked, and tells its files from there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Worker, Zygote

FAILURE = 6

_PROGRAM = """
import dspy
from pieces_of_yours import parts

class Program(dspy.Module):
    def forward(self, action):
        return dspy.Prediction(answer=parts.answer(action))

program = Program()

def metric(example, prediction):
    return 1.0
"""

_PARTS = """
def answer(action):
    if action == "raise":
        raise KeyError("missing")
    return __file__
"""


@pytest.fixture
def start(zygote: Zygote, tmp_path: Path) -> Iterator[Callable[..., tuple[Worker, dict[str, Any]]]]:
    """A worker that loads the unpacked project in a directory of it."""
    (tmp_path / "src" / "pieces_of_yours").mkdir(parents=True)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "program.py").write_text(_PROGRAM)
    (tmp_path / "src" / "pieces_of_yours" / "__init__.py").write_text("")
    (tmp_path / "src" / "pieces_of_yours" / "parts.py").write_text(_PARTS)
    workers: list[Worker] = []

    def begin(**more: Any) -> tuple[Worker, dict[str, Any]]:
        worker = zygote.fork(tmp_path / "sub")
        workers.append(worker)
        placed = {"root": str(tmp_path), "path": [str(tmp_path / "src")], **more}
        return worker, worker.load("program.py:program", metric="metric", columns=["action"], **placed)

    yield begin
    for worker in workers:
        worker.connection.close()


def test_files_are_told_from_the_root_of_the_project(start: Callable[..., Any]) -> None:
    worker, loaded = start()
    assert sorted(loaded["sources"]) == [
        "src/pieces_of_yours/__init__.py",
        "src/pieces_of_yours/parts.py",
        "sub/program.py",
    ]
    failed, fine = worker.execute([{"action": "raise"}, {"action": "go"}])
    failure = failed[FAILURE]
    assert (failure["file"], failure["line"]) == ("src/pieces_of_yours/parts.py", 4)
    assert 'File "src/pieces_of_yours/parts.py", line 4' in failure["traceback"]
    assert fine[FAILURE] is None


def test_nothing_is_written_beside_them(start: Callable[..., Any], tmp_path: Path) -> None:
    worker, _ = start()
    worker.execute([{"action": "go"}])
    assert [place for place, _, _ in os.walk(tmp_path) if place.endswith("__pycache__")] == []


def test_what_was_sent_goes_before_what_the_environment_has(start: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "src" / "wave.py").write_text("VALUE = 'the one that was sent'\n")
    text = _PROGRAM.replace("import dspy", "import dspy, wave").replace("parts.answer(action)", "wave.VALUE")
    (tmp_path / "sub" / "program.py").write_text(text)
    worker, _ = start()
    (result,) = worker.execute([{"action": "go"}])
    assert b"the one that was sent" in result[4]


def test_what_cannot_be_imported_is_told_without_where_it_lies(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import not_there_at_all\n")
    worker = zygote.fork(tmp_path)
    kind, body = worker.try_load("program.py:program", root=str(tmp_path), path=[])
    worker.connection.close()
    assert (kind, body["file"]) == (18, "program.py")
    assert str(tmp_path) not in body["message"] + body["traceback"]


def test_without_a_project_files_are_told_whole(zygote: Zygote, project: Path) -> None:
    worker = zygote.fork(project)
    loaded = worker.load("program.py:program", path=[])
    worker.connection.close()
    assert list(loaded["sources"]) == [str(project / "program.py")]
