"""What a driver ships: its program and metric as one pickle, and what has to be known before that is opened.

The functions here stand in pickles for what does not travel by value. Whoever opens a pickle says what they mean:
`Opener` looks them up, and nothing happens when a pickle is read by something else.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Union

import msgspec

VERSION = 1
# A frame holds 32 MiB.
MAX_BYTES = 24 * 1024 * 1024
# What a payload is.
EVALUATION = "evaluation"
BATCH = "batch"
# Environment variables in which secrets reach a worker; the node never stores its callers' environment.
SECRET_PREFIX = "DSPEX_SECRET_"


class Collect(msgspec.Struct):
    """What a driver wants to have back of each example besides its prediction."""

    history: bool = True
    events: bool = False
    usage: bool = False
    trace: bool = False


class Payload(msgspec.Struct):
    """The map of PROTOCOL.md, "The payload"."""

    python: str
    dspy: str
    cloudpickle: str
    path: list[str]
    program_name: str
    metric_name: str
    pickle: bytes
    inputs: list[str] = []
    lm: str = "none"
    max_errors: int = 10
    num_threads: int = 8
    main: Union[str, None] = None
    metric_on: str = "worker"
    # Of a batch `program` is a function of items, and there is no metric.
    kind: str = EVALUATION
    collect: Collect = msgspec.field(default_factory=Collect)
    version: int = VERSION


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Payload).decode


def original(number: int) -> NoReturn:
    """In pickles: the object that driver and worker know by this number."""
    raise pickle.UnpicklingError(f"object {number} of a driver is known to its run only")


def secret(name: str) -> NoReturn:
    """In pickles: a secret of the driver's."""
    raise pickle.UnpicklingError(f"{name} is known to its run only")


class Opener(pickle.Unpickler):
    """Opens what the other side of a run pickled."""

    def __init__(
        self, data: bytes, originals: Sequence[Any] = (), secrets: Callable[[str], str | None] | None = None
    ) -> None:
        super().__init__(io.BytesIO(data))
        self._known: dict[str, Callable[[Any], Any]] = {"original": originals.__getitem__}
        if secrets is not None:
            self._known["secret"] = secrets

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__ and name in self._known:
            return self._known[name]
        return super().find_class(module, name)
