"""Programs as people write them: in a script, in a notebook's cells, with modules beside them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("node")
TESTS = Path(__file__).parent

SCRIPT = """
import dspy, pydantic
import helpers
import dspex

offset = 1
class Verdict(pydantic.BaseModel):
    text: str

class Marked(Exception):
    pass

def shout(text):
    return text.upper()

class Program(dspy.Module):
    def __init__(self):
        super().__init__()
        self.step = dspy.Predict("question -> answer")

    def forward(self, question):
        if question == "bad":
            raise Marked(question)
        answer = self.step(question=question).answer
        return dspy.Prediction(verdict=Verdict(text=shout(answer)), maker=Program, length=helpers.length(question))

def make_metric(expected):
    return lambda example, prediction: prediction.length == example.n and prediction.verdict.text and expected + offset

devset = [dspy.Example(question="q" * n, n=n, v=Verdict(text="x")).with_inputs("question") for n in range(1, 4)]
devset.append(dspy.Example(question="bad", n=0).with_inputs("question"))
with dspy.context(lm=helpers.make_lm()):
    result = dspex.Evaluate(devset=devset, metric=make_metric(1), num_threads=2)(Program())
assert [score for *_, score in result.results] == [2, 2, 2, 0.0], result.results
prediction = result.results[0][1]
assert type(prediction.verdict) is Verdict, "the class of the script, not a copy of it"
assert prediction.maker is Program
assert type(result.errors[0].exception) is Marked
print("fine", result.score)
"""

HELPERS = """
import sys
sys.path.insert(0, {tests!r})
from driver_program import make_lm

def length(text):
    return len(text)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "helpers.py").write_text(HELPERS.format(tests=str(TESTS)))
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def _run(arguments: list[str], directory: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=environment,
        input=text,
        text=True,
        capture_output=True,
        timeout=120,
    )


def test_a_script_ships_its_own_classes_closures_and_modules(directory: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = _run([str(directory / "script.py")], elsewhere)
    assert done.stdout.strip() == "fine 150.0", done.stdout + done.stderr


def test_an_interactive_session_ships_its_own_classes(directory: Path) -> None:
    done = _run(["-"], directory, SCRIPT)
    assert done.stdout.strip() == "fine 150.0", done.stdout + done.stderr


def test_importing_the_package_costs_nothing() -> None:
    code = (
        "import sys, threading, dspex\n"
        "assert not {'dspy', 'msgspec', 'subprocess', 'cloudpickle'} & set(sys.modules), sorted(sys.modules)\n"
        "assert threading.active_count() == 1\n"
        "assert 'Evaluate' in dir(dspex)\n"
        "dspex.DspexError\n"
        "assert 'dspy' not in sys.modules\n"
        "dspex.Evaluate\n"
        "assert threading.active_count() == 1\n"
        "from dspex.client import connection\n"
        "assert connection._clients == {}\n"
    )
    done = _run(["-c", code], TESTS)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    import dspex

    with pytest.raises(AttributeError, match="has no attribute 'evaluate_all'"):
        dspex.evaluate_all  # noqa: B018


def test_ctrl_c_ends_a_script_and_its_run(directory: Path) -> None:
    (directory / "slow.py").write_text(
        "import dspy, dspex, helpers, driver_program as program\n"
        "with dspy.context(lm=helpers.make_lm()):\n"
        "    devset = [dspy.Example(question=q).with_inputs('question') for q in ('q', 'sleep 60')]\n"
        "    evaluate = dspex.Evaluate(devset=devset, metric=program.yes, num_threads=2, display_progress=True)\n"
        "    evaluate(program.Answering())\n"
    )
    script = subprocess.Popen(
        [sys.executable, "slow.py"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert script.stdout is not None
    shown = b""
    while b"1.00 / 1" not in shown:
        read = os.read(script.stdout.fileno(), 4096)
        assert read, script.communicate()
        shown += read
    started = time.monotonic()
    os.killpg(script.pid, signal.SIGINT)  # As a terminal does: to the whole group.
    _, errors = script.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert script.returncode in (130, -signal.SIGINT)
    assert b"KeyboardInterrupt" in errors
    assert b"dspex run resume" in errors
