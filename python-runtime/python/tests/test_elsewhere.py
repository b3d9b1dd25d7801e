"""dspex.Evaluate at a real node that gets the driver's project: what it executes, and what it is never sent."""

from __future__ import annotations

import importlib
import os
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest
from real_node import PATIENCE_SECONDS, RealNode, free_port, running

import dspex

_TASK = """
import os

import dspy
from grading_of_mine import same

class Whereabouts(dspy.Module):
    def forward(self, question):
        return dspy.Prediction(answer=question.upper(), here=os.path.abspath(__file__), start=os.getcwd())

def exact(example, prediction):
    return same(prediction.answer, example.question)
"""


class Node(RealNode):
    """`dspex node` on loopback."""

    def __init__(self, place: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._http = f"127.0.0.1:{free_port()}"
        super().__init__(
            place,
            f'[api]\nlisten = "{self.address}"\n[http]\nlisten = "{self._http}"\n'
            f'[python]\ninterpreter = "{sys.executable}"\n',
        )

    @property
    def bundles(self) -> Path:
        return self.place / "data" / "bundles"

    def unpacked(self) -> int:
        return len(list(self.bundles.iterdir())) if self.bundles.exists() else 0

    def is_ready(self) -> bool:
        # Any other answer raises.
        with urllib.request.urlopen(f"http://{self._http}/healthz/ready", timeout=PATIENCE_SECONDS):
            return True


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Node]:
    with running(Node) as started:
        yield started


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two modules of the user's; `tmp_path` is their project."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "grading_of_mine.py").write_text("def same(one, other):\n    return one.lower() == other\n")
    (tmp_path / "task_of_mine.py").write_text(_TASK)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module("task_of_mine")
    for name in [name for name in sys.modules if name.endswith("_of_mine")]:
        del sys.modules[name]


def _evaluate(node: Node, task: Any, metric: Callable[..., Any] | None = None, **more: Any) -> Any:
    devset = [dspy.Example(question=text).with_inputs("question") for text in ("a", "b", "c")]
    evaluate = dspex.Evaluate(
        devset=devset, metric=metric or task.exact, num_threads=2, address=node.address, display_progress=False, **more
    )
    return evaluate(task.Whereabouts())


def test_modules_are_executed_on_the_node_and_not_where_the_driver_has_them(elsewhere: Node, task: Any) -> None:
    result = _evaluate(elsewhere, task)
    assert result.score == 100.0
    bundles = str(elsewhere.bundles.resolve()) + os.sep
    for _, prediction, _ in result.results:
        assert prediction.here.startswith(bundles)
        assert prediction.start.startswith(bundles)
    before = elsewhere.unpacked()
    assert _evaluate(elsewhere, task).score == 100.0
    assert elsewhere.unpacked() == before, "an unchanged project is unpacked once"


def test_a_secret_in_a_closure_is_refused_by_its_variable_and_nothing_is_sent(
    elsewhere: Node, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = "sk-0123456789abcdef"
    monkeypatch.setenv("MY_API_KEY", value)

    def capturing(example: Any, prediction: Any) -> bool:
        return bool(value) and bool(task.exact(example, prediction))

    before = elsewhere.unpacked()
    with pytest.raises(dspex.DspexError) as error:
        _evaluate(elsewhere, task, capturing)
    assert error.value.reason == "SECRET_FOUND"
    assert "metric" in str(error.value)
    assert "value" in str(error.value)
    assert "MY_API_KEY" in str(error.value)
    assert value not in str(error.value)
    assert elsewhere.unpacked() == before
    # The control: the same closure where the variable is none of the secrets.
    monkeypatch.setenv("DSPEX_NOT_SECRET", "MY_API_KEY")
    assert _evaluate(elsewhere, task, capturing).score == 100.0


def test_a_secret_in_a_file_of_the_project_is_refused_by_the_file(
    elsewhere: Node, task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "hf_0123456789abcdef")
    (tmp_path / "settings.ini").write_text("[service]\ntoken = hf_0123456789abcdef\n")
    with pytest.raises(dspex.DspexError, match=r"settings\.ini, line 2") as error:
        _evaluate(elsewhere, task)
    assert error.value.reason == "SECRET_FOUND"
    assert "MY_SERVICE_TOKEN" in str(error.value)
    assert "hf_0123" not in str(error.value)


def test_a_link_out_of_the_project_is_refused_by_name(elsewhere: Node, task: Any, tmp_path: Path) -> None:
    (tmp_path / "leak").symlink_to("/etc/passwd")
    with pytest.raises(dspex.DspexError, match="leak") as error:
        _evaluate(elsewhere, task)
    assert error.value.reason == "PROJECT_INVALID"


def test_a_module_that_has_changed_since_it_was_imported_is_refused(elsewhere: Node, task: Any, tmp_path: Path) -> None:
    (tmp_path / "grading_of_mine.py").write_text("def same(one, other):\n    return False\n")
    with pytest.raises(dspex.DspexError, match="grading_of_mine") as error:
        _evaluate(elsewhere, task)
    assert error.value.reason == "MODULE_CHANGED"
    importlib.reload(sys.modules["grading_of_mine"])
    importlib.reload(task)
    assert _evaluate(elsewhere, task).score == 0.0, "the node has what was reloaded"


def test_a_program_that_no_environment_fits_is_refused_with_what_differs(
    elsewhere: Node, task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path.parent / f"{tmp_path.name}-installed" / "site-packages"
    information = site / "needed_thing-1.5.dist-info"
    information.mkdir(parents=True)
    (site / "needed_thing.py").write_text("")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: Needed_Thing\nVersion: 1.5\n")
    (information / "top_level.txt").write_text("needed_thing\n")
    monkeypatch.syspath_prepend(str(site))
    needing = "try:\n    import needed_thing\nexcept ImportError:\n    pass\n\n"
    (tmp_path / "grading_of_mine.py").write_text(needing + "def same(one, other):\n    return one.lower() == other\n")
    importlib.reload(sys.modules["grading_of_mine"])
    importlib.reload(task)
    with pytest.raises(dspex.DspexError, match=r"needed-thing +1\.5 +not there") as error:
        _evaluate(elsewhere, task)
    assert error.value.reason == "ENVIRONMENT_MISMATCH"
    assert "needed-thing==1.5" in str(error.value)
    assert _evaluate(elsewhere, task, environment="default").score == 100.0
