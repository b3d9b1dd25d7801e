"""Runs the machinery once in the zygote, so that its workers share what a first prediction leaves behind.

Imports that dspy puts off, pydantic's caches, specialised bytecode: without this every worker does that work by itself
and needs longer for its first answer (its memory is about the same). The model here is a scripted one:
nothing is called, opened or configured, and nothing that user code can see is left.
"""

from __future__ import annotations

import logging
from typing import Any

import dspy
import msgspec
from dspy.clients import base_lm

from dspex.runtime import accounting, dspy_seams, execution, guard, inputs, loading, protocol
from dspex.runtime.datasets import RowReader

# CPython specialises a piece of bytecode after a handful of executions.
_ROUNDS = 24
_ANSWER = "[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]"


class _NoOutbox:
    def leave_if_forked(self) -> None:
        pass


def _metric(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.answer == prediction.answer)


def run() -> None:
    """A few predictions, start to end."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    accounting.install()
    try:
        with dspy_seams.lazy_modules_asleep(), dspy.context(lm=dspy_seams.scripted_lm(_ANSWER)):
            _predict()
    finally:
        accounting.uninstall()
        base_lm.GLOBAL_HISTORY.clear()
        logging.disable(level)


def _predict() -> None:
    with guard.importing():
        signature = dspy.Signature("question -> answer", "Answer.")
        program = dspy.Predict(signature)
    program.demos = [dspy.Example(question="a?", answer="no"), dspy.Example(question="b?", answer="yes")]
    columns = ["question", "answer"]
    chosen = inputs.choose(program, None, columns, [])
    reader = RowReader(chosen.names, from_python=False, converters={})
    loaded = loading.Loaded(program, _metric, reader, [], 1, 0.0)
    runner = execution.Execution(loaded, _NoOutbox())
    row = msgspec.json.encode({"question": "c?", "answer": "yes"})
    for index in range(_ROUNDS):
        result = runner.run(index, 1, row)
        if result[6] is not None:
            raise RuntimeError(f"a prediction failed: {result[6]['message']}")
        protocol.encode_frame(protocol.RESULTS, {"results": [result]})
