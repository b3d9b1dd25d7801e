"""LMs that answer without a network, by a function of what they are asked, for every dspy. Workers import this file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dspy

try:
    from dspy.lm15 import Message, Response, TextPart, Usage
except ImportError:  # dspy 3.3
    Response = None  # type: ignore[assignment, misc]

# (role, text)
Messages = list[tuple[str, str]]


class Engine:
    """Whoever derives from it says what is answered."""

    def answer(self, messages: Messages, temperature: Any) -> str:
        raise NotImplementedError

    def complete(self, request: Any) -> Any:
        messages = [("system", request.system or "")]
        messages += [(message.role, message.text) for message in request.messages]
        return Response(
            id=None,
            model=request.model,
            message=Message.assistant([TextPart(self.answer(messages, request.config.temperature))]),
            finish_reason="stop",
            usage=Usage(input_tokens=3, output_tokens=2, total_tokens=5),
        )

    def close(self) -> None:
        pass


class ForwardLM(dspy.BaseLM):  # type: ignore[misc]
    """The same for dspy 3.3, which has no engines."""

    forward_contract = "legacy"

    def answer(self, messages: Messages, temperature: Any) -> str:
        raise NotImplementedError

    def forward(self, prompt: Any = None, messages: Any = None, n: int = 1, **kwargs: Any) -> Any:
        given = [(message["role"], message["content"]) for message in messages or [{"role": "user", "content": prompt}]]
        message = SimpleNamespace(content=self.answer(given, kwargs.get("temperature")), tool_calls=None)
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        choices = [SimpleNamespace(message=message, finish_reason="stop")] * (n or 1)
        return SimpleNamespace(choices=choices, usage=usage, model=self.model)


def make(model: str, engine: type[Engine], legacy: type[ForwardLM], **kwargs: Any) -> Any:
    """The one of the two that this dspy takes."""
    if Response is None:
        return legacy(model, cache=False, num_retries=0, **kwargs)
    return dspy.LM(model, engine=engine(), cache=False, num_retries=0, **kwargs)
