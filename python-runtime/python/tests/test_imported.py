"""A module that has changed since it was imported is refused by name: a worker would import other code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import driver_program as program
import dspy
import pytest

import dspex
from dspex import imported
from dspex.shipping import ship

_TEXT = """
import helper_of_mine

def exact(example, prediction):
    return helper_of_mine.same(example, prediction)
"""
_HELPER = "def same(example, prediction):\n    return True\n"


@pytest.fixture
def metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "metric_of_mine.py").write_text(_TEXT)
    (tmp_path / "helper_of_mine.py").write_text(_HELPER)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("metric_of_mine")
    for name in ("metric_of_mine", "helper_of_mine"):
        sys.modules.pop(name, None)


def _ship(metric: Any) -> Any:
    with dspy.context(lm=program.make_lm()):
        return ship(program.Answering(), metric, program.devset(1), metric_on="worker", max_errors=10, num_threads=1)


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    # However coarse the clock of the file system is.
    later = os.stat(file).st_mtime_ns + 2_000_000_000
    os.utime(file, ns=(later, later))


@pytest.mark.parametrize("name", ["metric_of_mine.py", "helper_of_mine.py"])
def test_a_module_that_changed_is_refused_and_named(metric: ModuleType, tmp_path: Path, name: str) -> None:
    assert _ship(metric.exact).modules >= {"metric_of_mine"}
    _write(tmp_path / name, (tmp_path / name).read_text() + "# changed\n")
    with pytest.raises(dspex.DspexError) as error:
        _ship(metric.exact)
    assert error.value.reason == "MODULE_CHANGED"
    assert str(tmp_path / name) in str(error.value)
    assert "Restart the kernel, or reload" in str(error.value)


def test_one_that_was_reloaded_is_as_it_was_imported(metric: ModuleType, tmp_path: Path) -> None:
    _write(tmp_path / "metric_of_mine.py", _TEXT + "# changed\n")
    metric = importlib.reload(metric)
    _ship(metric.exact)


def test_one_that_was_written_again_as_it_was_has_not_changed(metric: ModuleType, tmp_path: Path) -> None:
    _write(tmp_path / "helper_of_mine.py", _HELPER)
    _ship(metric.exact)


def test_one_that_has_gone_is_refused(metric: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "metric_of_mine.py").unlink()
    with pytest.raises(dspex.DspexError, match=r"metric_of_mine\.py .* has gone since"):
        _ship(metric.exact)


def test_a_change_elsewhere_in_the_project_is_nobodys_concern(metric: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "unused_of_mine.py").write_text("x = 1\n")
    sys.modules.pop("unused_of_mine", None)
    importlib.invalidate_caches()
    importlib.import_module("unused_of_mine")
    _write(tmp_path / "unused_of_mine.py", "x = 2\n")
    _ship(metric.exact)
    sys.modules.pop("unused_of_mine")


def test_what_was_imported_before_counts_from_then(tmp_path: Path) -> None:
    file = tmp_path / "early.py"
    file.write_text("x = 1\n")
    imported._note(str(file), read=False)
    assert imported.change(str(file)) is None
    _write(file, "x = 2\n")
    assert imported.change(str(file)) == "has changed"
    assert imported.change(str(tmp_path / "never.py")) is None


def test_a_worker_watches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = importlib.machinery.SourceFileLoader
    before = loader.exec_module
    monkeypatch.setattr(imported, "_watching", False)
    monkeypatch.setenv("DSPEX_INSTANCE", "a node's")
    imported.watch()
    assert loader.exec_module is before
