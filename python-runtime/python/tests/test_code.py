"""What is sent to a node that shares nothing with the driver: the project of a pickle's modules, and what they need."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import driver_program as program
import dspy
import pytest

import dspex
from dspex.client import connection
from dspex.shipping import code, secrets, ship

CASES = Path(__file__).resolve().parents[3] / "node" / "bundle" / "src" / "secrets" / "cases.json"

_LOCAL = """
import dspy
from pieces_of_mine import texts

class Local(dspy.Module):
    def forward(self, question):
        return dspy.Prediction(answer=texts.answer(question))

def exact(example, prediction):
    return prediction.answer == texts.answer(example.question)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module and a package of the user's; `tmp_path` is the project."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "src" / "pieces_of_mine").mkdir(parents=True)
    (tmp_path / "src" / "pieces_of_mine" / "__init__.py").write_text("")
    texts = "def answer(question):\n    return question.upper()\n"
    (tmp_path / "src" / "pieces_of_mine" / "texts.py").write_text(texts)
    (tmp_path / "src" / "local_of_mine.py").write_text(_LOCAL)
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module("local_of_mine")
    for name in [name for name in sys.modules if name.endswith("_of_mine") or name.startswith("pieces_of_mine")]:
        del sys.modules[name]


def _modules(local: Any) -> set[str]:
    shipment = ship(local.Local(), local.exact, _devset(), metric_on="worker", max_errors=1, num_threads=1)
    return set(shipment.modules)


def _devset() -> list[Any]:
    return [dspy.Example(question=text).with_inputs("question") for text in ("a", "b", "c")]


def test_the_project_of_the_named_modules_is_sent_with_what_they_import(project: Any, tmp_path: Path) -> None:
    needed = code.of(_modules(project))
    root = os.path.realpath(tmp_path)
    assert (needed.root, needed.directory) == (root, "")
    assert {"src/local_of_mine.py", "src/pieces_of_mine/texts.py"} <= set(needed.files)
    assert "src" in needed.path
    assert needed.distributions["dspy"] == dspy.__version__
    sent = code.as_sent(needed, "d" * 64, None)
    assert (sent["bundle"], sent["environment"], sent["python"]) == ("d" * 64, "", f"3.{sys.version_info.minor}")


def test_workers_start_where_the_driver_is_in_its_project(project: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path / "src")
    assert code.of({"local_of_mine"}).directory == "src"
    monkeypatch.chdir("/")
    assert code.of({"local_of_mine"}).directory == ""


def test_without_modules_of_ones_own_no_project_is_sent() -> None:
    needed = code.of({"numpy", "dspy.predict.predict", "json", "__main__"})
    assert (needed.root, needed.files) == (None, [])
    assert "numpy" in needed.distributions
    assert code.as_sent(needed, "", "nlp") == {
        "bundle": "",
        "directory": "",
        "path": [],
        "environment": "nlp",
        "python": needed.python,
        "distributions": needed.distributions,
    }


def test_without_a_mark_the_project_is_where_a_package_is_imported_from(tmp_path: Path, monkeypatch: Any) -> None:
    if any((above / ".git").exists() or (above / "pyproject.toml").exists() for above in tmp_path.parents):
        pytest.skip("the temporary directory lies in a project")
    inner = tmp_path / "unmarked_of_mine" / "inner"
    inner.mkdir(parents=True)
    for place in (inner, inner.parent):
        (place / "__init__.py").write_text("")
    (inner / "deep.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("unmarked_of_mine.inner.deep")
    assert code.of({"unmarked_of_mine.inner.deep"}).root == os.path.realpath(tmp_path)
    assert code.of({"unmarked_of_mine.inner"}).root == os.path.realpath(tmp_path)
    for name in [name for name in sys.modules if name.startswith("unmarked_of_mine")]:
        del sys.modules[name]


def test_a_module_outside_of_the_project_is_named(project: Any, tmp_path_factory: Any, monkeypatch: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "stray_of_mine.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(elsewhere))
    importlib.import_module("stray_of_mine")
    with pytest.raises(dspex.DspexError, match=r"stray_of_mine") as error:
        code.of({"local_of_mine", "stray_of_mine"})
    assert error.value.reason == "PROJECT_INVALID"


@pytest.mark.usefixtures("double")
def test_a_node_elsewhere_executes_what_was_sent(project: Any, tmp_path: Path, monkeypatch: Any) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    send = connection.Client._request

    def noting(self: Any, method: str, body: dict[str, Any], take: Any) -> int:
        if method == "runs.submit":
            # From here on the driver's directory is not there any more.
            (tmp_path / "src").rename(tmp_path / "gone")
        asked.append((method, body))
        return send(self, method, body, take)

    monkeypatch.setattr(connection.Client, "_request", noting)
    evaluate = dspex.Evaluate(
        devset=_devset(), metric=project.exact, num_threads=1, address="elsewhere:7400", environment="default"
    )
    result = evaluate(project.Local())
    assert result.score == 100.0
    (submitted,) = [body for method, body in asked if method == "runs.submit"]
    assert submitted["caller"]["environment"] == {}
    shipped = submitted["evaluation"]["shipped"]
    assert (shipped["environment"], bool(shipped["bundle"])) == ("default", True)
    (put,) = [body for method, body in asked if method == "bundles.put"]
    assert put["root"] == os.path.realpath(tmp_path)


@pytest.mark.usefixtures("node")
def test_the_embedded_node_gets_nothing_of_it(project: Any, monkeypatch: Any) -> None:
    asked: list[str] = []
    send = connection.Client._request

    def noting(self: Any, method: str, body: dict[str, Any], take: Any) -> int:
        asked.append(method)
        assert (body.get("evaluation") or {}).get("shipped") is None
        return send(self, method, body, take)

    monkeypatch.setattr(connection.Client, "_request", noting)
    assert dspex.Evaluate(devset=_devset(), metric=project.exact, num_threads=1)(project.Local()).score == 100.0
    assert "bundles.put" not in asked


def test_rows_that_name_modules_need_them_too(project: Any) -> None:
    devset = [dspy.Example(question="q", kind=project.Local).with_inputs("question")]
    with dspy.context(lm=program.make_lm()):
        shipment = ship(program.Answering(), program.metric, devset, metric_on="worker", max_errors=1, num_threads=1)
    assert "local_of_mine" in shipment.modules


def test_both_sides_look_for_the_same_secrets() -> None:
    cases = json.loads(CASES.read_text())
    for case in cases["forms"]:
        assert sorted(secrets._forms(case["value"])) == [form.encode() for form in case["forms"]], case["value"]
    for case in cases["names"]:
        environment = {case["name"]: case["value"], secrets.NOT_SECRET_VARIABLE: case["not_secret"]}
        assert bool(secrets.of_environment(environment)) is case["is_secret"], case


@pytest.mark.parametrize(
    "written",
    ["Basic c2stdmVyeS8rc2VjcmV0PT0wMTIz", "x=sk-very%2F%2Bsecret%3D%3D0123", "x=sk-very%2f%2bsecret%3d%3d0123"],
)
def test_a_secret_that_is_written_another_way_is_refused(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("A_SECRET", "sk-very/+secret==0123")
    with pytest.raises(dspex.DspexError, match="A_SECRET"):
        secrets.refuse(written.encode(), secrets.of_environment(), "here")
    monkeypatch.setenv("DSPEX_NOT_SECRET", "A_SECRET")
    secrets.refuse(written.encode(), secrets.of_environment(), "here")
