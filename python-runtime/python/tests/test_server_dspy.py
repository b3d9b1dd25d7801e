"""The server behind dspy's own client: the same answers as in the process, and what dspy makes of each fault."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import dspy
import pytest
from serving import CHAT, Server, chat

from dspex.samples import digits

# The clients under dspy 3.3 also try again after an answer that they cannot read.
NATIVE = dspy.__version__ >= "3.4"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as started:
        yield started


def _lm(server: Server, **settings: Any) -> dspy.LM:
    return dspy.LM(settings.pop("model", "openai/digits"), api_base=server.url, api_key="x", cache=False, **settings)


def _read(lm: dspy.LM, number: int = 0) -> str:
    with dspy.context(lm=lm):
        return str(digits.few_shot_16()(image=digits.devset[number].image).digit)


@pytest.mark.parametrize("program", ["zero_shot", "few_shot_16"])
@pytest.mark.parametrize("adapter", [None, dspy.JSONAdapter()], ids=["chat", "json"])
def test_the_answers_are_those_of_the_engine(server: Server, program: str, adapter: Any) -> None:
    predictions = []
    for lm in (_lm(server), digits.lm):
        with dspy.context(lm=lm, adapter=adapter):
            run = dspy.Evaluate(devset=digits.devset[:40], metric=digits.exact, num_threads=4)
            result = run(getattr(digits, program)())
            predictions.append([prediction.digit for _, prediction, _ in result.results])
    assert predictions[0] == predictions[1]


def test_the_score_is_pinned_over_http(server: Server) -> None:
    with dspy.context(lm=_lm(server)):
        run = dspy.Evaluate(devset=digits.devset, metric=digits.exact, num_threads=4)
        assert run(digits.few_shot_16()).score == 60.5


def test_usage_is_that_of_the_engine(server: Server) -> None:
    counted = []
    for lm in (_lm(server), digits.lm):
        with dspy.context(lm=lm), dspy.track_usage() as tracker:
            digits.few_shot_16()(image=digits.devset[0].image)
        (total,) = tracker.get_total_tokens().values()
        counted.append({key: value for key, value in total.items() if isinstance(value, int) and value})
    assert counted[0] == counted[1]
    assert counted[0]["completion_tokens"] == 11


def test_async_programs_are_answered(server: Server) -> None:
    async def digits_read() -> list[str]:
        program = digits.few_shot_16()
        program.aforward = lambda image: program.read.acall(image=image)  # type: ignore[attr-defined]
        with dspy.context(lm=_lm(server)):
            answers = await asyncio.gather(*(program.acall(image=example.image) for example in digits.devset[:8]))
        return [answer.digit for answer in answers]

    assert asyncio.run(digits_read()) == [_read(digits.lm, number) for number in range(8)]


def test_streams_are_understood(server: Server) -> None:
    async def pieces() -> list[Any]:
        listener = dspy.streaming.StreamListener(signature_field_name="digit")
        program = dspy.streamify(digits.few_shot_16(), stream_listeners=[listener])
        with dspy.context(lm=_lm(server)):
            return [piece async for piece in program(image=digits.devset[1].image)]

    *streamed, last = asyncio.run(pieces())
    assert "".join(piece.chunk for piece in streamed).strip() == last.digit == _read(digits.lm, 1)


def test_choices_are_completions(server: Server) -> None:
    with dspy.context(lm=_lm(server)):
        answered = digits.few_shot_16().read(image=digits.devset[0].image, config={"n": 3})
    assert answered.completions.digit == [_read(digits.lm)] * 3


def test_a_seed_samples_over_http_as_in_the_process(server: Server) -> None:
    def samples(lm: Any, **settings: Any) -> list[str]:
        program = digits.few_shot_16().read
        with dspy.context(lm=lm):
            return [
                program(image=example.image, config={**settings, "seed": seed}).digit
                for example in digits.devset[:6]
                for seed in range(4)
            ]

    drawn = samples(_lm(server), temperature=2.0)
    assert drawn == samples(digits.lm, temperature=2.0)
    assert drawn != samples(digits.lm), "without a temperature a seed changes nothing"


def test_embeddings_are_read(server: Server) -> None:
    embed = dspy.Embedder("openai/any", api_base=server.url, api_key="x", caching=False)
    vectors = embed(["three little words", "three little birds", "0 0 5 13 9 1"])
    assert vectors.shape == (3, 64)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_a_name_says_the_latency(server: Server) -> None:
    started = time.monotonic()
    _read(_lm(server, model="openai/digits-150ms"))
    assert time.monotonic() - started >= 0.15


def test_429_is_retried_when_the_server_says() -> None:
    with Server("--rate-429", "1", "--retry-after", "1.5") as server:
        started = time.monotonic()
        assert _read(_lm(server)) == _read(digits.lm)
        assert time.monotonic() - started >= 1.5
        counts = server.settled()
    assert (counts["requests"], counts["faults"]["429"], counts["answered"]) == (2, 1, 1)


def test_the_real_limit_is_kept_by_who_waits() -> None:
    with Server("--requests-per-minute", "20") as server:
        lm = _lm(server, num_retries=8)
        _read(lm)
        number = 0
        while server.post(CHAT, chat(number))[0] == 200:
            number += 1
        # The next one fits in three seconds from now.
        assert _read(lm) == _read(digits.lm)
        counts = server.settled()
    assert counts["answered"] == number + 2
    assert counts["rate_limited"] >= 2


def test_500_is_retried() -> None:
    with Server("--rate-500", "1") as server:
        assert _read(_lm(server)) == _read(digits.lm)
        assert server.settled()["faults"]["500"] == 1


def test_500_for_ever_is_an_error() -> None:
    with Server("--rate-500", "1", "--faults-max", "1000") as server:
        with pytest.raises(dspy.LMServerError):
            _read(_lm(server, num_retries=0))
        assert server.settled()["answered"] == 0


def test_a_hang_is_cut_by_the_clients_timeout() -> None:
    with Server("--rate-hang", "1", "--hang-s", "600") as server:
        assert _read(_lm(server, timeout=1)) == _read(digits.lm)
        counts = server.settled()
    assert (counts["faults"]["hang"], counts["answered"]) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("cut-off", None),
        ("broken-json", dspy.LMProviderError if NATIVE else None),
        ("no-choices", dspy.utils.exceptions.AdapterParseError if NATIVE else None),
        # Asked again for JSON, which is another request with a fault of its own.
        ("no-markers", dspy.utils.exceptions.AdapterParseError),
    ],
)
def test_malformed_answers(kind: str, error: type[Exception] | None) -> None:
    with Server("--rate-malformed", "1", "--malformed", kind) as server:
        if error is None:
            assert _read(_lm(server)) == _read(digits.lm)
        else:
            with pytest.raises(error):
                _read(_lm(server))
            assert server.settled()["answered"] == 0
        assert server.settled()["faults"]["malformed"] >= 1
        for _ in range(2):
            # By now every request has had its fault.
            answered = _attempt(server)
        assert answered == _read(digits.lm)


def _attempt(server: Server) -> str | None:
    try:
        return _read(_lm(server))
    except (dspy.LMError, dspy.utils.exceptions.AdapterParseError):
        return None


def test_a_key_that_is_wrong_is_said() -> None:
    with Server("--key-env", "A_KEY", environment={"A_KEY": "good"}) as server:
        with pytest.raises(dspy.LMAuthError):
            _read(_lm(server))
        lm = dspy.LM("openai/digits", api_base=server.url, api_key="good", cache=False)
        assert _read(lm) == _read(digits.lm)
