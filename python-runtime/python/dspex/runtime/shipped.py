"""Loading a payload: the driver's own program and metric, in the place of names of files."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import cloudpickle
import dspy
import msgspec

from dspex.runtime import (
    asking,
    collecting,
    datasets,
    driver_lm,
    guard,
    loading,
    payload,
    protocol,
    references,
    returning,
)
from dspex.runtime.references import LoadFailure

# From the name of a secret to the secret.
Secret = Callable[[str], "str | None"]


class Collecting:
    """How an execution collects what the driver wants back."""

    def __init__(self, wanted: payload.Collect, returns: returning.Returning) -> None:
        self._wanted = wanted
        self._returns = returns

    def begin(self, index: int) -> collecting.Collected:
        return collecting.Collected(index, self._wanted)

    def returned(
        self, collected: collecting.Collected, prediction: Any, score: Any, raised: BaseException | None, room: int
    ) -> bytes:
        returns = self._returns.with_more(collected.objects)
        return returns.result(collected, prediction, score, raised, room)


def load(order: protocol.Load, questions: asking.Questions) -> loading.Loaded:
    """The program of `order.payload`, or LoadFailure. Runs user code; must be called on the main thread."""
    loading.check(order)
    shipment = _decode(order.payload or b"")
    _check_versions(shipment)
    if shipment.main is not None:
        sys.argv = [shipment.main]
    if order.path is None:
        _extend_path(shipment.path)
    contents, objects, secret = _open(shipment)
    dspy.configure(**contents["settings"])
    returns = returning.Returning(objects)
    metric = contents["metric"]
    if shipment.metric_on == "driver":
        metric = asking.DriverMetric(questions, returns)
    if shipment.kind == payload.BATCH:
        driver_lm.connect(questions, returns)
    if shipment.collect.history:
        collecting.install()
    report: dict[str, Any] = {
        "program": shipment.program_name,
        "metric": shipment.metric_name,
        "inputs": shipment.inputs,
        "inputs_from": "dataset",
        "columns": None,
        "lm": shipment.lm,
        "notes": [],
        "max_errors": shipment.max_errors,
        "num_threads": shipment.num_threads,
        "sources": {},
    }
    return loading.Loaded(
        program=contents["program"],
        metric=metric,
        reader=datasets.RowReader(
            [], from_python=True, converters={}, unpickle=_row_opener(shipment.kind, objects, secret)
        ),
        rows=[],
        threads=order.threads,
        failure_score=order.failure_score,
        report=report,
        collecting=Collecting(shipment.collect, returns),
        batch=contents["program"] if shipment.kind == payload.BATCH else None,
    )


def _decode(data: bytes) -> payload.Payload:
    try:
        shipment = payload.decode(data)
    except msgspec.MsgspecError as error:
        raise LoadFailure("arguments", f"the payload cannot be read: {error}") from error
    if shipment.version != payload.VERSION:
        raise LoadFailure(
            "arguments",
            f"the payload has version {shipment.version}, this worker reads {payload.VERSION}: "
            "install the same version of dspex for the driver and the node",
        )
    return shipment


def _check_versions(shipment: payload.Payload) -> None:
    """Another minor version of Python has other bytecode, another dspy other attributes."""
    for what, theirs, ours in (
        ("Python", shipment.python, f"{sys.version_info.major}.{sys.version_info.minor}"),
        ("dspy", shipment.dspy, str(dspy.__version__)),
        ("cloudpickle", shipment.cloudpickle.partition(".")[0], cloudpickle.__version__.partition(".")[0]),
    ):
        if theirs != ours:
            raise LoadFailure(
                "arguments",
                f"the driver has {what} {theirs}, the worker's interpreter {sys.executable} has {what} {ours}: "
                "a program can only be shipped between equal ones. Run the driver with this interpreter, or install "
                "the same version for both",
            )


def _extend_path(entries: list[str]) -> None:
    """What the driver imports from, after what the worker has."""
    for entry in entries:
        if entry not in sys.path:
            sys.path.append(entry)
    importlib.invalidate_caches()


def _open(shipment: payload.Payload) -> tuple[dict[str, Any], list[Any], Secret]:
    secrets = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(payload.SECRET_PREFIX)}
    opener = payload.Opener(shipment.pickle, secrets=secrets.get)
    try:
        with guard.importing():
            contents: dict[str, Any] = opener.load()
            # The second pickle shares the memo of the first: these are the objects of the program itself.
            objects: list[Any] = opener.load()
    except BaseException as error:
        raise references.raised(error, f"loading {shipment.program_name} as the driver sent it") from error
    return contents, objects, secrets.get


def _row_opener(kind: str, objects: list[Any], secret: Secret) -> Callable[[bytes], Any]:
    if kind != payload.BATCH:
        return lambda data: payload.Opener(data, objects).load()

    def item(data: bytes) -> Any:
        opener = payload.Opener(data, objects, secret)
        opened = opener.load()
        collected = collecting.current()
        assert collected is not None, "opened outside of an example"
        # As in a payload: the second pickle holds the objects that this item is the first to bring.
        collected.objects = opener.load()
        return opened

    return item
