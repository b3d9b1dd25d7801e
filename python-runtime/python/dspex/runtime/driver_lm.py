"""An LM that stays with the driver: workers have a stand-in, and each call of it is a question.

For an LM of which a copy would be another one: it counts, it gives out a list of answers, it holds a connection.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import dspy
from dspy.utils import callback_context

from dspex.runtime import asking, collecting, dspy_seams, returning
from dspex.runtime.payload import Opener

# What adapters look at before they call.
_CAPABILITIES = ("supports_function_calling", "supports_reasoning", "supports_response_schema", "supported_params")

_ask: Callable[[collecting.Collected, dict[str, Any]], bytes] | None = None


def connect(questions: asking.Questions, returns: returning.Returning) -> None:
    """From here on the stand-ins of this worker ask this driver."""
    global _ask

    def ask(collected: collecting.Collected, parts: dict[str, Any]) -> bytes:
        known = returns.with_more(collected.objects)
        parts["modules"] = [module for module in parts["modules"] if known.knows(module)]
        return questions.ask(collected.index, known.question("lm", collected, parts))

    _ask = ask


def described(lm: Any) -> dict[str, Any]:
    """Of the driver's own: what the stand-in is made of."""
    plain = {name: getattr(lm, name, None) for name in ("model", "model_type", "cache", "num_retries")}
    kwargs = {name: value for name, value in (getattr(lm, "kwargs", None) or {}).items() if _is_plain(value)}
    return {**plain, "kwargs": kwargs, "capabilities": {name: getattr(lm, name, None) for name in _CAPABILITIES}}


def stand_in(state: dict[str, Any]) -> DriverLM:
    """In pickles: an LM of the driver's."""
    return DriverLM(state)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float))


class DriverLM(dspy.BaseLM):  # type: ignore[misc]
    """Every call is made by the driver, with its own LM, histories, cache and callbacks."""

    forward_contract = "legacy"

    def __init__(self, state: dict[str, Any]) -> None:
        self._capabilities = state["capabilities"]
        for name in ("model", "model_type", "cache", "num_retries", "kwargs"):
            setattr(self, name, state[name])
        self.history: list[Any] = []
        self.callbacks: list[Any] = []
        self._warned_zero_temp_rollout = False
        # Whose copy this is, and how each was made of the one before: (its name, what was changed).
        self._root = self
        self._copies: tuple[tuple[str, dict[str, Any]], ...] = ()

    def __call__(self, *items: Any, **given: Any) -> Any:
        collected = collecting.current()
        if collected is None or _ask is None:
            raise asking.Unanswered("an LM of the driver can only be called where an item is executed")
        question = {
            "lm": self._root,
            "copies": self._copies,
            "items": items,
            "given": given,
            "is_adapters": dspy_seams.is_adapters_call(self, given.get("messages")),
            "parent": callback_context.ACTIVE_CALL_ID.get(),
            "modules": list(dspy.settings.caller_modules or []),
        }
        answer = Opener(_ask(collected, question)).load()
        if "raised" in answer:
            raise answer["raised"]
        tracker = dspy.settings.usage_tracker
        for model, entries in answer["usage"].items() if tracker is not None else ():
            tracker.usage_data[model].extend(entries)
        return answer["outputs"]

    async def acall(self, *items: Any, **given: Any) -> Any:
        return await asyncio.to_thread(self, *items, **given)

    def copy(self, **kwargs: Any) -> DriverLM:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.history, made.callbacks = [], []
        made.kwargs = {**self.kwargs, **{name: value for name, value in kwargs.items() if not hasattr(self, name)}}
        made._copies = (*self._copies, (uuid.uuid4().hex, kwargs))
        return made

    def __deepcopy__(self, memo: Any) -> DriverLM:
        return self

    @property
    def supports_function_calling(self) -> Any:
        return self._capabilities["supports_function_calling"]

    @property
    def supports_reasoning(self) -> Any:
        return self._capabilities["supports_reasoning"]

    @property
    def supports_response_schema(self) -> Any:
        return self._capabilities["supports_response_schema"]

    @property
    def supported_params(self) -> Any:
        return self._capabilities["supported_params"]
