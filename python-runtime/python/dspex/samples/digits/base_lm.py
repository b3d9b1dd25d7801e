"""The nearest-demo model for dspy 3.3, which has no engines: a subclass of `dspy.BaseLM`.

It has the contract that `dspy.LM` itself has there, so that history, usage and saved programs look as they do with a
real model.
"""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import dspy

from dspex.samples import nearest_demo
from dspex.samples.digits.latency import latency


class NearestDemoLM(dspy.BaseLM):  # type: ignore[misc]
    """A dspy LM."""

    forward_contract = "legacy"

    def forward(self, prompt: str | None = None, messages: list[dict[str, Any]] | None = None, **kwargs: Any) -> Any:
        time.sleep(latency(self.model))
        return self._answer(prompt, messages, kwargs)

    async def aforward(
        self, prompt: str | None = None, messages: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> Any:
        await asyncio.sleep(latency(self.model))
        return self._answer(prompt, messages, kwargs)

    def _answer(self, prompt: str | None, messages: list[dict[str, Any]] | None, kwargs: dict[str, Any]) -> Any:
        settings = {**self.kwargs, **kwargs}
        texts = [(message["role"], message["content"]) for message in messages or []] or [("user", prompt or "")]
        seed = settings.get("seed")
        salt = None if seed is None else str(seed)
        answered = nearest_demo.answer(texts, settings.get("temperature") or 0.0, salt)
        # Engines are asked n times for n completions, hence n equal ones.
        count = settings.get("n") or 1
        message = SimpleNamespace(role="assistant", content=answered.text)
        read, written = answered.input_tokens * count, answered.output_tokens * count
        return SimpleNamespace(
            model=self.model,
            choices=[SimpleNamespace(index=i, message=message, finish_reason="stop") for i in range(count)],
            usage={"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        )


def make_lm(model: str) -> dspy.BaseLM:
    """An LM that answers in this process."""
    return NearestDemoLM(model, cache=False)
