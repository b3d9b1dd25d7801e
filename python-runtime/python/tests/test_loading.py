"""Loading: what works, and one clear error for each thing that does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Zygote

ALWAYS = {"metric": "metric", "columns": ["action"]}


def _files(project: Path) -> None:
    (project / "raises.py").write_text("import dspy\n\ndef helper():\n    return 1 / 0\n\nprogram = helper()\n")
    (project / "syntax.py").write_text("import dspy\nprogram = (\n")
    (project / "missing_import.py").write_text("import no_such_library\n")
    (project / "exits.py").write_text("import sys\nsys.exit(0)\n")
    (project / "evaluates.py").write_text(
        "import dspy\nfrom program import program, metric\n"
        "dspy.Evaluate(devset=[dspy.Example(action='a').with_inputs('action')], metric=metric)(program)\n"
    )
    (project / "calls.py").write_text("import dspy\nlm = dspy.LM('openai/x')\nlm('hello')\n")
    (project / "compiles.py").write_text(
        "import dspy\nfrom program import program, metric\n"
        "program = dspy.BootstrapFewShot(metric=metric).compile(program, trainset=[])\n"
    )
    (project / "state.json").write_text('{"other": {}, "metadata": {"dependency_versions": {}}}')
    (project / "state.txt").write_text("")


FAILURES: list[tuple[str, str, dict[str, Any], str]] = [
    ("program_missing", "progam.py:program", {}, "Did you mean program.py"),
    ("program_missing", "no/where.py:program", {}, "does not exist"),
    ("program_missing", "nomodule:program", {}, "no module 'nomodule'"),
    ("name_missing", "program.py:progrm", {}, "Did you mean 'program'"),
    ("not_a_program", "program.py:number", {}, "builtins.int"),
    ("not_a_program", "program.py:make_number", {}, "returns an instance of builtins.int"),
    ("not_a_program", "program.py:Needy", {}, "needs arguments"),
    ("program_raised", "raises.py:program", {}, "division by zero"),
    ("program_raised", "syntax.py:program", {}, "SyntaxError"),
    ("program_raised", "missing_import.py:program", {}, "--python"),
    ("program_raised", "exits.py:program", {}, "__main__"),
    ("evaluates_at_import", "evaluates.py:program", {}, "if __name__ == '__main__'"),
    ("evaluates_at_import", "calls.py:lm", {}, "an LM is called"),
    ("evaluates_at_import", "compiles.py:program", {}, "BootstrapFewShot.compile"),
    ("metric_missing", "program.py:program", {"metric": "metrik"}, "Did you mean 'metric'"),
    ("metric_missing", "program.py:program", {"metric": "metrics.py:exact"}, "no file"),
    ("metric_invalid", "program.py:program", {"metric": "number"}, "callable"),
    ("metric_invalid", "program.py:program", {"metric": "three"}, "metric(example, prediction)"),
    ("metric_invalid", "program.py:program", {"metric": "asynchronous"}, "async"),
    ("lm_missing", "program.py:program", {"lm": "program.py:lmm"}, "has no 'lmm'"),
    ("lm_invalid", "program.py:program", {"lm": "program.py:not_an_lm"}, "dspy.LM"),
    ("lm_invalid", "program.py:program", {"lm": "openai/"}, "model id"),
    ("dataset_missing", "program.py:program", {"dataset": "program.py:dev", "columns": None}, "has no 'dev'"),
    ("dataset_invalid", "program.py:program", {"dataset": "program.py:wrong", "columns": None}, "dspy.Example"),
    ("dataset_invalid", "program.py:program", {"dataset": "program.py:number", "columns": None}, "list"),
    (
        "dataset_invalid",
        "program.py:program",
        {"dataset": "program.py:broken_devset", "columns": None},
        "no such table",
    ),
    ("dataset_empty", "program.py:program", {"dataset": "program.py:empty", "columns": None}, "no examples"),
    ("inputs_missing", "program.py:program", {"inputs": ["acton"]}, "Did you mean 'action'"),
    ("inputs_missing", "program.py:program", {"columns": ["question"]}, "--inputs"),
    ("inputs_missing", "program.py:predict", {"columns": ["image"]}, "signature's inputs"),
    ("state_missing", "program.py:program", {"state": "none.json"}, "no file"),
    ("state_invalid", "program.py:predict", {"state": "state.json"}, "does not fit"),
    ("state_invalid", "program.py:program", {"state": "state.txt"}, "program.save"),
    ("arguments", "program.py", {}, "program.py:NAME"),
    ("arguments", "program", {}, "path.py:name"),
    ("arguments", "program.py:program", {"lm": "openai/x", "lm_settings": [["api_key", '"s"']]}, "environment"),
    ("arguments", "program.py:program", {"lm": "openai/x", "lm_settings": [["n", "{"]]}, "not JSON"),
    ("arguments", "program.py:program", {"lm_settings": [["temperature", "1"]]}, "--lm"),
    ("arguments", "program.py:program", {"protocol": 2}, "protocol"),
]


@pytest.mark.parametrize(("kind", "program", "more", "says"), FAILURES)
def test_each_failure_is_told(
    zygote: Zygote, project: Path, kind: str, program: str, more: dict[str, Any], says: str
) -> None:
    _files(project)
    worker = zygote.fork(project)
    answer, body = worker.try_load(program, **{**ALWAYS, **more})
    worker.connection.close()
    assert (answer, body["kind"]) == (18, kind), body
    assert says in body["message"], body["message"]


def test_an_exception_at_import_comes_with_the_users_frames(zygote: Zygote, project: Path) -> None:
    _files(project)
    worker = zygote.fork(project)
    _, body = worker.try_load("raises.py:program", **ALWAYS)
    worker.connection.close()
    assert (body["file"], body["line"]) == (str(project / "raises.py"), 4)
    assert "in helper" in body["traceback"]
    assert "importlib" not in body["traceback"]
    assert "dspex" not in body["traceback"]


@pytest.mark.parametrize("error", ["RuntimeError('no predictors')", "SystemExit(3)"])
def test_an_exception_of_the_program_while_it_is_looked_at_is_told(zygote: Zygote, project: Path, error: str) -> None:
    (project / "shy.py").write_text(
        "import dspy\nclass Shy(dspy.Module):\n    def forward(self, action):\n        pass\n"
        f"    def named_predictors(self):\n        raise {error}\n"
    )
    worker = zygote.fork(project)
    kind, body = worker.try_load("shy.py:Shy", metric="program.py:metric", columns=["action"])
    worker.connection.close()
    assert (kind, body["kind"]) == (18, "program_raised"), body
    assert error.partition("(")[0] in body["message"]
    assert "loading shy.py:Shy" in body["message"]
    assert (body["file"], body["line"]) == (str(project / "shy.py"), 6)


@pytest.mark.parametrize(
    ("settings", "max_errors", "num_threads"),
    [
        ("max_errors=float('inf'), num_threads=None", 2**32 - 1, 8),
        ("max_errors=10**30, num_threads=0", 2**32 - 1, 8),
        ("max_errors=-1, num_threads=10**30", 0, 4096),
        ("max_errors=None, num_threads='many'", 10, 8),
        ("max_errors='few', num_threads=float('nan')", 10, 8),
        ("max_errors=float('nan'), num_threads=float('inf')", 10, 4096),
        ("max_errors=0, num_threads=-1", 0, 1),
        ("max_errors=5, num_threads=3", 5, 3),
    ],
)
def test_settings_come_as_numbers_that_the_node_can_use(
    zygote: Zygote, project: Path, settings: str, max_errors: int, num_threads: int
) -> None:
    (project / "set.py").write_text(f"from program import program, metric, dspy\ndspy.configure({settings})\n")
    worker = zygote.fork(project)
    report = worker.load("set.py:program", **ALWAYS)
    worker.connection.close()
    assert (report["max_errors"], report["num_threads"]) == (max_errors, num_threads)


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("program.py:program", "Act"),
        ("program.py:Act", "Act"),
        ("program.py:make", "Act"),
        ("program:program", "Act"),
        ("program.py:AsyncOnly", "AsyncOnly"),
    ],
)
def test_each_form_of_a_program_runs(zygote: Zygote, project: Path, program: str, name: str) -> None:
    worker = zygote.fork(project)
    report = worker.load(program, **ALWAYS)
    assert (report["program"], report["metric"], report["lm"]) == (name, "metric", "none")
    assert (report["inputs"], report["inputs_from"]) == (["action"], "forward")
    assert (report["max_errors"], report["num_threads"]) == (10, 8)
    assert list(report["sources"]) == [str(project / "program.py")]
    (result,) = worker.execute([{"action": "go"}])
    assert result[4] == b'{"answer":"go"}'
    worker.connection.close()


def test_a_dataset_becomes_rows_that_another_worker_reads(zygote: Zygote, project: Path) -> None:
    first = zygote.fork(project)
    report = first.load("program.py:program", metric="metric", dataset="program.py:devset")
    assert report["columns"] == ["action", "tag", "n"]
    assert (report["inputs"], report["inputs_from"]) == (["action"], "dataset")
    assert b"$pickle" in first.rows[0]
    assert json.loads(first.rows[1]) == {"$fields": {"action": "b", "n": 1}, "$inputs": ["action"]}
    second = zygote.fork(project)
    second.load("program.py:program", metric="metric", inputs=["action"])
    assert [result[4] for result in second.execute(first.rows)] == [b'{"answer":"a"}', b'{"answer":"b"}']
    first.connection.close()
    second.connection.close()


def test_a_limit_cuts_the_dataset(zygote: Zygote, project: Path) -> None:
    worker = zygote.fork(project)
    worker.load("program.py:program", metric="metric", dataset="program.py:make_devset", limit=2)
    assert len(worker.rows) == 2
    worker.connection.close()


def test_classes_that_only_the_dataset_has_reach_other_workers(zygote: Zygote, project: Path) -> None:
    (project / "data.py").write_text(
        "import dspy\nclass Tag:\n    pass\ndevset = [dspy.Example(action='a', tag=Tag()).with_inputs('action')]\n"
    )
    first = zygote.fork(project)
    first.load("program.py:program", metric="metric", dataset="data.py:devset")
    second = zygote.fork("/")
    second.load(f"{project}/program.py:program", metric="metric")
    assert second.execute(first.rows)[0][6] is None
    first.connection.close()
    second.connection.close()


def test_text_cells_are_converted_where_the_signature_types_the_field(zygote: Zygote, project: Path) -> None:
    (project / "typed.py").write_text(
        "import dspy\nclass P(dspy.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.p = dspy.Predict('n: int, xs: list[int], s -> answer: float')\n"
        "    def forward(self, n, xs, s):\n        return dspy.Prediction(answer=repr((n, xs, s)))\n"
        "def metric(example, prediction):\n    return example.answer\n"
    )
    worker = zygote.fork(project)
    worker.load("typed.py:P", metric="metric", columns=["n", "xs", "s", "answer"], text_cells=True)
    good, bad = worker.execute(
        [{"n": "3", "xs": "[1,2]", "s": "4", "answer": "0.5"}, {"n": "x", "xs": "[]", "s": "", "answer": "1"}]
    )
    assert (json.loads(good[4]), good[2]) == ({"answer": "(3, [1, 2], '4')"}, 0.5)
    assert "column 'n'" in bad[6]["message"]
    worker.connection.close()


def test_who_answers_is_told(zygote: Zygote, project: Path) -> None:
    (project / "lms.py").write_text(
        "import dspy\ndspy.configure(lm=dspy.LM('openai/file'))\nopen_ = dspy.Predict('action -> answer')\n"
        "own = dspy.Predict('action -> answer')\nown.lm = dspy.LM('openai/own')\n"
    )
    expected = [
        ("lms.py:open_", None, "openai/file (configured by the program)"),
        ("lms.py:open_", "ollama_chat/llama3:8b", "ollama_chat/llama3:8b (--lm)"),
        ("lms.py:open_", "program.py:lm", "openai/mine (--lm)"),
        ("lms.py:own", "openai/x", "openai/own (program's own)"),
    ]
    for program, lm, description in expected:
        worker = zygote.fork(project)
        assert worker.load(program, metric="program.py:metric", columns=["action"], lm=lm)["lm"] == description
        worker.connection.close()


def test_a_file_named_like_a_library_does_not_break_it(zygote: Zygote, project: Path) -> None:
    (project / "json.py").write_text("from program import program, metric\n")
    worker = zygote.fork(project)
    report = worker.load("json.py:program", metric="metric", columns=["action"])
    assert "json_" in report["notes"][0]
    assert worker.execute([{"action": "go"}])[0][6] is None
    worker.connection.close()


def test_a_saved_state_is_loaded(zygote: Zygote, project: Path) -> None:
    import dspy

    saved = dspy.Predict("question, context -> answer: int")
    saved.demos = [dspy.Example(question="q", context="c", answer=1)]
    saved.save(str(project / "saved.json"))
    worker = zygote.fork(project)
    columns = ["question", "context"]
    report = worker.load("program.py:predict", metric="metric", columns=columns, state="saved.json")
    assert report["inputs"] == columns
    assert report["inputs_from"] == "signature"
    assert str(project / "saved.json") in report["sources"]
    worker.connection.close()
