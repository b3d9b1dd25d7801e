"""The nearest-demo model as an engine of dspy 3.4: `dspy.LM(..., engine=NearestDemo())`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import dspy
from dspy.lm15 import Message, Request, Response, TextPart, Usage

from dspex.samples import nearest_demo
from dspex.samples.digits.latency import latency


class NearestDemo:
    """A dspy engine."""

    def complete(self, request: Request) -> Response:
        pause = latency(request.model)
        if pause > 0:
            time.sleep(pause)
        return answer(request)

    def close(self) -> None:
        pass

    def dump_state(self) -> dict[str, Any]:
        return {}

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> NearestDemo:
        return cls()


class AsyncNearestDemo:
    """The same for async programs."""

    async def complete(self, request: Request) -> Response:
        await asyncio.sleep(latency(request.model))
        return answer(request)

    async def aclose(self) -> None:
        pass

    def dump_state(self) -> dict[str, Any]:
        return {}

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> AsyncNearestDemo:
        return cls()


def make_lm(model: str) -> dspy.LM:
    """An LM that this engine answers."""
    # The cache is off: what is measured with this model is the work, and its latency is meant to be waited for.
    return dspy.LM(model, engine=NearestDemo(), async_engine=AsyncNearestDemo(), cache=False)


def answer(request: Request) -> Response:
    """The response: a function of the prompt, and of the seed where a temperature and a seed are set."""
    messages = [(message.role, message.text or "") for message in request.messages]
    if isinstance(request.system, str):
        messages.insert(0, ("system", request.system))
    config = request.config
    salt = None if config is None or config.seed is None else str(config.seed)
    answered = nearest_demo.answer(messages, (config and config.temperature) or 0.0, salt)
    return Response(
        id=None,
        model=request.model,
        message=Message.assistant([TextPart(answered.text)]),
        finish_reason="stop",
        usage=Usage(
            input_tokens=answered.input_tokens,
            output_tokens=answered.output_tokens,
            total_tokens=answered.input_tokens + answered.output_tokens,
        ),
    )
