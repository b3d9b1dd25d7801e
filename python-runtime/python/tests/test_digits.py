"""The bundled case: pinned scores, and equality with dspy.Evaluate to the last digit."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

import dspy
import pytest
from conftest import PACKAGE_ROOT, Zygote

from dspex.samples import digits
from dspex.samples.digits import data

SCORES = {"zero_shot": 9.5, "few_shot_16": 60.5, "few_shot_200": 95.5}


def _evaluate(program: str, count: int = 200) -> Any:
    with dspy.context(lm=digits.lm):
        evaluate = dspy.Evaluate(devset=digits.devset[:count], metric=digits.exact, num_threads=1)
        return evaluate(getattr(digits, program)())


def _results(zygote: Zygote, program: str, threads: int = 1, **more: Any) -> list[list[Any]]:
    worker = zygote.fork()
    report = worker.load(
        f"dspex.samples.digits:{program}",
        metric="exact",
        lm="dspex.samples.digits:lm",
        dataset="dspex.samples.digits:devset",
        threads=threads,
        **more,
    )
    assert report["lm"].startswith("digits/nearest-demo")
    results = worker.execute(worker.rows)
    worker.connection.close()
    return results


def _score(results: list[list[Any]]) -> float:
    return round(100 * sum(result[2] for result in results) / len(results), 2)


@pytest.mark.parametrize(("program", "score"), SCORES.items())
def test_the_scores_are_pinned(zygote: Zygote, program: str, score: float) -> None:
    results = _results(zygote, program, threads=2)
    assert _score(results) == score
    assert {result[3] for result in results} == {3}, "the metric returns a bool"


@pytest.mark.parametrize("program", ["zero_shot", "few_shot_16"])
def test_a_worker_scores_as_dspy_does(zygote: Zygote, program: str) -> None:
    expected = _evaluate(program)
    results = _results(zygote, program)
    assert [bool(result[2]) for result in results] == [score for *_, score in expected.results]
    assert _score(results) == expected.score == SCORES[program]
    predictions = [json.loads(result[4]) for result in results]
    assert predictions == [prediction.toDict() for _, prediction, _ in expected.results]


@pytest.mark.parametrize(("program", "score"), SCORES.items())
def test_every_dspy_has_the_same_scores(program: str, score: float) -> None:
    """Without a worker: this holds under each dspy, whatever its kind of LM."""
    assert _evaluate(program).score == score


def test_async_programs_have_the_same_answers() -> None:
    program = digits.few_shot_16()

    async def read(example: dspy.Example) -> str:
        return str((await program.read.acall(image=example.image)).digit)

    async def read_all() -> list[str]:
        with dspy.context(lm=digits.lm):
            return list(await asyncio.gather(*map(read, digits.devset[:20])))

    with dspy.context(lm=digits.lm):
        assert asyncio.run(read_all()) == [program(image=example.image).digit for example in digits.devset[:20]]


def test_usage_is_what_dspy_counts(zygote: Zygote) -> None:
    example = digits.devset[0]
    with dspy.context(lm=digits.lm), dspy.track_usage() as tracker:
        digits.few_shot_16()(image=example.image)
    counted = {
        model: {key: value for key, value in total.items() if isinstance(value, int)}
        for model, total in tracker.get_total_tokens().items()
    }
    (result,) = _results(zygote, "few_shot_16", limit=1)
    assert result[7] == counted
    assert result[8] is None, "a custom engine has no price, and an unknown price is not zero"


def test_latency_is_waited_for(zygote: Zygote) -> None:
    settings = [["model", '"digits/nearest-demo-50ms"']]
    started = time.monotonic()
    results = _results(zygote, "zero_shot", threads=8, limit=16, lm_settings=settings)
    assert 0.1 <= time.monotonic() - started < 5
    assert min(result[9] for result in results) >= 50_000


def test_the_split_is_fixed() -> None:
    assert (len(digits.devset), len(digits.trainset)) == (200, 1597)
    assert digits.devset[0].digit == "0"
    assert digits.devset[0].image.splitlines()[0] == "0 0 5 13 9 1 0 0"
    held_out = {example.image for example in digits.devset}
    for program in (digits.few_shot_16(), digits.few_shot_200()):
        assert not held_out & {demo.image for demo in program.read.demos}
    assert len(digits.few_shot_200().read.demos) == 200


def test_reading_the_data_is_quick() -> None:
    data.held_out.cache_clear()
    started = time.process_time()
    data.held_out()
    assert time.process_time() - started < 0.02


def test_the_package_is_cheap_to_import() -> None:
    code = "import dspex, sys; assert dspex.__version__ == '0.1.0'; assert 'dspy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=PACKAGE_ROOT, check=True)


def test_a_saved_program_with_this_lm_comes_back(tmp_path: Any) -> None:
    program = digits.few_shot_16()
    program.set_lm(digits.lm)
    program.save(str(tmp_path / "program.json"))
    again = digits.zero_shot()
    again.load(str(tmp_path / "program.json"), allow_unsafe_lm_state=True)
    assert again(image=digits.devset[1].image).digit == program(image=digits.devset[1].image).digit
