"""What a program's predictors were given and gave on the way, as an execution is recorded with it.

dspy keeps that itself while a program is called: a list of predictor, inputs and prediction, in the order in which
they ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dspy
import msgspec

from dspex.runtime.canonical import canonical, type_name

# Of one execution: a trace is for people, and a loop may call its predictor for ever.
MAX_ENTRIES = 100
MAX_BYTES = 64 * 1024

_encode = msgspec.json.Encoder().encode


def form(module: dspy.Module, trace: Sequence[Any]) -> bytes:
    """A JSON array of `{"predictor": ..., "inputs": ..., "outputs": ...}`.

    Of a long trace it has the first ones, and how many were left out. Never raises: the call has succeeded without it.
    """
    names = _names(module)
    entries: list[bytes] = []
    size = 0
    calls = list(trace)
    for index, call in enumerate(calls):
        entry = _entry(names, call) if index < MAX_ENTRIES else b""
        size += len(entry)
        if not entry or size > MAX_BYTES:
            entries.append(b'{"left_out":%d}' % (len(calls) - index))
            break
        entries.append(entry)
    return b"[%s]" % b",".join(entries)


def _entry(names: dict[int, str], call: Any) -> bytes:
    try:
        predictor, inputs, prediction = call
    except (TypeError, ValueError):  # Other code than dspy's may append to it.
        return b'{"predictor":null,"inputs":null,"outputs":%s}' % canonical(call)[0]
    name = _encode(names.get(id(predictor)) or type_name(predictor))
    return b'{"predictor":%s,"inputs":%s,"outputs":%s}' % (name, canonical(inputs)[0], canonical(prediction)[0])


def _names(module: dspy.Module) -> dict[int, str]:
    try:
        return {id(predictor): name for name, predictor in module.named_predictors() if isinstance(name, str)}
    except Exception:  # Looking at a program runs its code.
        return {}
