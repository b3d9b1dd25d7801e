"""What leaves the driver, what does not, and how that is said."""

from __future__ import annotations

import functools
import io
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import driver_program as program
import dspy
import msgspec
import pytest
from dspy.utils import DummyLM

import dspex
from dspex.runtime import payload
from dspex.runtime.payload import Opener
from dspex.shipping import Unshippable, ship
from dspex.shipping.pickling import TooLarge
from dspex.shipping.secrets import of_environment


@pytest.fixture(autouse=True)
def lm() -> Iterator[Any]:
    with dspy.context(lm=program.make_lm()):
        yield dspy.settings.lm


def _ship(shipped: Any = None, metric: Any = program.metric, devset: Any = None, metric_on: str = "worker") -> Any:
    examples = program.devset(2) if devset is None else devset
    shipped = program.Answering() if shipped is None else shipped
    return ship(shipped, metric, examples, metric_on=metric_on, max_errors=10, num_threads=4)


def _opened(shipment: Any, secrets: Any = None) -> tuple[dict[str, Any], list[Any]]:
    opener = Opener(payload.decode(shipment.payload).pickle, secrets=secrets)
    return opener.load(), opener.load()


def _with(**attributes: Any) -> Any:
    made = program.Answering()
    vars(made).update(attributes)
    return made


def _capturing(value: Any) -> Any:
    def metric(example: Any, prediction: Any) -> Any:
        return value

    return metric


class Engineered:
    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")


UNSHIPPABLE = [
    (lambda: (_with(db=sqlite3.connect(":memory:")), program.metric), "program.db", "sqlite3.Connection"),
    (lambda: (_with(parts={"a": [0, threading.Lock()]}), program.metric), "program.parts['a'][1]", "_thread.lock"),
    (lambda: (_with(first=_with(engine=Engineered())), program.metric), "program.first.engine.connection", "sqlite3"),
    (lambda: (None, _capturing(io.FileIO(0, closefd=False))), "metric (its variable value)", "FileIO"),
    (lambda: (None, functools.partial(program.metric, trace=threading.Event())), "metric.trace", "lock"),
    (lambda: (None, Bound(sqlite3.connect(":memory:")).score), "metric.__self__.db", "sqlite3.Connection"),
    (lambda: (_with(numbers=iter([1, 2])), program.metric), "program.numbers", "list_iterator"),
    (lambda: (_with(made=(n for n in ())), program.metric), "program.made", "generator"),
]


class Bound:
    def __init__(self, db: Any) -> None:
        self.db = db

    def score(self, example: Any, prediction: Any) -> int:
        return 1


@pytest.mark.parametrize(("make", "path", "kind"), UNSHIPPABLE)
def test_what_cannot_be_shipped_is_named_by_its_path(make: Any, path: str, kind: str) -> None:
    shipped, metric = make()
    with pytest.raises(Unshippable) as error:
        _ship(shipped, metric)
    assert (error.value.path.startswith(path), kind in error.value.type) == (True, True), str(error.value)


def test_a_setting_that_cannot_be_shipped_is_named_too() -> None:
    with dspy.context(lm=DummyLM([{"answer": "1"}])), pytest.raises(Unshippable) as error:
        _ship()
    assert error.value.path.startswith("dspy.settings.lm.answers")
    assert "anew in each worker" in error.value.reason


def test_an_example_that_cannot_be_shipped_is_named_too() -> None:
    devset = [*program.devset(1), dspy.Example(question="q", lock=threading.Lock()).with_inputs("question")]
    with pytest.raises(Unshippable) as error:
        _ship(devset=devset)
    assert (error.value.path, error.value.type) == ("devset[1]['lock']", "_thread.lock")


def test_own_settings_travel_where_they_can_and_others_stay() -> None:
    with dspy.context(mine={"a": 1}, lock=threading.Lock(), callbacks=[object()]):
        contents, _ = _opened(_ship())
    assert contents["settings"]["mine"] == {"a": 1}
    assert not {"lock", "callbacks", "trace", "usage_tracker", "caller_modules"} & set(contents["settings"])


def test_histories_and_callbacks_do_not_travel() -> None:
    answering = program.Answering()
    lm = dspy.settings.lm
    empty = len(_ship(answering).payload)
    lm.history += [{"prompt": "x" * 100_000}]
    answering.history += lm.history
    lm.callbacks = answering.callbacks = [threading.Lock()]
    with dspy.context(trace=["x" * 100_000]):
        shipment = _ship(answering)
    assert len(shipment.payload) < empty + 100
    contents, _ = _opened(shipment)
    shipped = contents["settings"]["lm"]
    assert (shipped.history, shipped.callbacks) == ([], [])
    assert (contents["program"].history, contents["program"].callbacks) == ([], [])
    assert len(lm.history) == 1, "the driver's own are left alone"
    assert shipment.collect.events, "they will hear of the calls all the same"


def test_objects_are_numbered_in_both_processes_alike() -> None:
    answering = program.Answering()
    answering.first.lm = dspy.settings.lm
    shipment = _ship(answering)
    contents, objects = _opened(shipment)
    assert [type(each).__name__ for each in objects] == [type(each).__name__ for each in shipment.objects]
    number = shipment.objects.index(answering.first)
    assert objects[number] is contents["program"].first
    lm = objects[next(n for n, each in enumerate(shipment.objects) if each is dspy.settings.lm)]
    assert lm is contents["settings"]["lm"] is contents["program"].first.lm
    assert any(each is answering.first.signature for each in shipment.objects)


def test_dspy_parallel_is_rebuilt() -> None:
    parallel = dspy.Parallel(num_threads=3)
    contents, _ = _opened(_ship(_with(parallel=parallel)))
    rebuilt = contents["program"].parallel
    assert (type(rebuilt), rebuilt.num_threads) == (dspy.Parallel, 3)
    with rebuilt.error_lock:
        assert not rebuilt.cancel_jobs.is_set()


def test_secrets_of_an_lm_travel_apart() -> None:
    secret = "sk-very-secret-0123"
    kwargs = {"api_key": secret, "extra_headers": {"Authorization": f"Bearer {secret}", "X-Trace": "7"}}
    lm = dspy.LM("openai/gpt-4o-mini", **kwargs)
    with dspy.context(lm=lm):
        shipment = _ship()
    assert secret.encode() not in shipment.payload + shipment.rows
    assert shipment.secrets == {"DSPEX_SECRET_1": secret, "DSPEX_SECRET_2": f"Bearer {secret}"}
    contents, _ = _opened(shipment, shipment.secrets.get)
    assert contents["settings"]["lm"].kwargs == lm.kwargs
    assert lm.kwargs["api_key"] == secret, "the driver's own is left alone"


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda value: {"shipped": _with(header={"x": f"Basic {value}"})}, "program.header['x']"),
        (lambda value: {"metric": _capturing(value)}, "metric (its variable value)"),
        (lambda value: {"devset": [dspy.Example(question=value).with_inputs("question")]}, "devset[0]"),
        (lambda value: {"devset": [dspy.Example(question="q", other={value}).with_inputs("question")]}, "devset[0]"),
    ],
)
def test_the_value_of_a_secret_variable_is_refused(monkeypatch: pytest.MonkeyPatch, make: Any, where: str) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", 'ab"cd\\efgh')
    with pytest.raises(dspex.DspexError) as error:
        _ship(**make('ab"cd\\efgh'))
    assert error.value.reason == "SECRET_FOUND"
    assert "MY_SERVICE_TOKEN" in str(error.value)
    assert where in str(error.value)
    assert "efgh" not in str(error.value)


@pytest.mark.parametrize(
    ("part", "is_found"),
    [
        ("MIIEvQIBADANBgkqhkiG9w0B", True),
        ("c2hvcnQ=", False),
        ("a line of a comment", False),
        ("-----BEGIN PRIVATE KEY-----", False),
    ],
)
def test_a_line_of_a_secret_is_refused_where_it_looks_like_a_key(
    monkeypatch: pytest.MonkeyPatch, part: str, is_found: bool
) -> None:
    lines = "a line of a comment\n-----BEGIN PRIVATE KEY-----\r\n  MIIEvQIBADANBgkqhkiG9w0B\r\nc2hvcnQ=\n"
    monkeypatch.setenv("DEPLOY_KEY", lines)
    given = {"shipped": _with(header=part)}, {"devset": [dspy.Example(question=part).with_inputs("question")]}
    for each in given:
        if is_found:
            with pytest.raises(dspex.DspexError, match="DEPLOY_KEY"):
                _ship(**each)
        else:
            _ship(**each)


def test_which_variables_are_secrets() -> None:
    environment = {
        "OPENAI_API_KEY": "12345678",
        "SHORT_KEY": "1234567",
        "KEYBOARD": "12345678",
        "DB_PASSWORD": "p" * 9,
        "A_TOKEN": "t" * 8,
        "MY_SECRET": "s" * 8,
        "HOME": "/home/me",
    }
    assert set(of_environment(environment)) == {"OPENAI_API_KEY", "DB_PASSWORD", "A_TOKEN", "MY_SECRET"}


def test_a_payload_that_is_too_large_says_what_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dspex.shipping.shipment.MAX_BYTES", 50_000)
    with pytest.raises(TooLarge) as error:
        _ship(_with(index=b"x" * 60_000))
    assert error.value.path == "program"
    assert "the largest is the program" in error.value.reason
    assert "its index: 60" in error.value.reason


def test_a_devset_that_is_too_large_says_how_much_of_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dspex.shipping.shipment.DEVSET_BYTES", 5_000)
    devset = [dspy.Example(question="q" * 2_000, answer="a").with_inputs("question") for _ in range(9)]
    with pytest.raises(TooLarge, match="3 of its 9 examples take"):
        _ship(devset=devset)
    assert _ship(devset=devset[:2]).rows.count(b"\n") == 2


def test_what_the_header_says() -> None:
    header = payload.decode(_ship().payload)
    assert (header.program_name, header.metric_name, header.inputs) == ("Answering", "metric", ["question"])
    assert (header.max_errors, header.num_threads, header.lm) == (10, 4, "mine/model (configured by the program)")
    assert all(path.startswith("/") for path in header.path)
    assert header.collect == payload.Collect(history=True, events=False, usage=False)
    names = msgspec.msgpack.decode(_ship().payload)
    assert set(names) >= {"version", "python", "dspy", "cloudpickle", "path", "main", "collect", "pickle"}


def test_a_metric_of_the_drivers_is_left_out() -> None:
    contents, _ = _opened(_ship(metric=_capturing(threading.Lock()), metric_on="driver"))
    assert contents["metric"] is None


def test_nothing_opens_where_it_was_not_sent_to() -> None:
    import pickle

    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(pickle.dumps(_Calls(payload.secret, "DSPEX_SECRET_1")))


class _Calls:
    def __init__(self, function: Any, argument: Any) -> None:
        self._call = function, (argument,)

    def __reduce__(self) -> Any:
        return self._call


@pytest.mark.parametrize("fallback", [None, "threads"])
def test_a_fallback_to_threads_names_the_attribute(fallback: str | None) -> None:
    evaluate = dspex.Evaluate(devset=program.devset(3), metric=program.metric, fallback=fallback)
    with pytest.warns(UserWarning, match="program.db: sqlite3.Connection") as warned:
        result = evaluate(_with(db=sqlite3.connect(":memory:")))
    assert (result.score, result.run_id, result.errors) == (100.0, None, [])
    assert len(warned) == 1
    assert warned[0].filename == __file__, "it points to the user's own line"


def test_without_a_fallback_it_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    unshippable = _with(db=sqlite3.connect(":memory:"))
    for more in ({"fallback": "error"}, {"address": "cluster:7400"}):
        evaluate = dspex.Evaluate(devset=program.devset(1), metric=program.metric, **more)
        with pytest.raises(dspex.DspexError, match=r"program\.db: sqlite3\.Connection") as error:
            evaluate(unshippable)
        assert error.value.reason == "UNSHIPPABLE"
        assert "fallback='threads'" in str(error.value)
    monkeypatch.setenv("DSPEX_ADDRESS", "cluster:7400")
    with pytest.raises(dspex.DspexError, match=r"program\.db"):
        dspex.Evaluate(devset=program.devset(1), metric=program.metric)(unshippable)
    evaluate = dspex.Evaluate(devset=program.devset(1), metric=_capturing(threading.Lock()), fallback="error")
    with pytest.raises(dspex.DspexError, match="metric_on='driver'"):
        evaluate(program.Answering())


@pytest.mark.parametrize("fallback", [None, "threads"])
def test_what_is_too_large_falls_back_to_threads_and_says_why(
    monkeypatch: pytest.MonkeyPatch, fallback: str | None
) -> None:
    monkeypatch.setattr("dspex.shipping.shipment.MAX_BYTES", 50_000)
    evaluate = dspex.Evaluate(devset=program.devset(3), metric=program.metric, fallback=fallback)
    with pytest.warns(UserWarning, match=r"the limit is 50000.*\(its index: 60.*from a file or an index") as warned:
        result = evaluate(_with(index=b"x" * 60_000))
    assert (result.score, result.run_id, result.errors) == (100.0, None, [])
    assert len(warned) == 1


def test_what_is_too_large_is_an_error_without_a_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dspex.shipping.shipment.MAX_BYTES", 50_000)
    large = _with(index=b"x" * 60_000)
    for more in ({"fallback": "error"}, {"address": "cluster:7400"}):
        evaluate = dspex.Evaluate(devset=program.devset(1), metric=program.metric, **more)
        with pytest.raises(dspex.DspexError, match="the limit is 50000") as error:
            evaluate(large)
        assert error.value.reason == "PAYLOAD_TOO_LARGE"
        assert error.value.metadata["path"] == "program"
        assert "fallback='threads'" in str(error.value)
    evaluate = dspex.Evaluate(devset=program.devset(1), metric=_capturing(b"x" * 60_000), fallback="error")
    with pytest.raises(dspex.DspexError, match="metric_on='driver'"):
        evaluate(program.Answering())


def test_a_stateful_lm_answers_in_its_order_by_threads() -> None:
    lm = DummyLM([{"answer": "1"}, {"answer": "2"}, {"answer": "3"}])
    step = dspy.Predict("question -> answer")
    with dspy.context(lm=lm), pytest.warns(UserWarning, match=r"dspy\.settings\.lm\.answers"):
        result = dspex.Evaluate(devset=program.devset(3), metric=program.yes, num_threads=1)(step)
    assert [prediction.answer for _, prediction, _ in result.results] == ["1", "2", "3"]


@pytest.mark.usefixtures("node")
def test_secrets_reach_the_lm_in_the_worker_and_nothing_else() -> None:
    lm = program.make_lm()
    lm.kwargs["api_key"] = "sk-very-secret-0123"
    with dspy.context(lm=lm):
        result = dspex.Evaluate(devset=program.devset(1), metric=program.yes)(program.Telling())
    told = result.results[0][1]
    assert told.api_key == "sk-very-secret-0123"
    assert told.variables == []
