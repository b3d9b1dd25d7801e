"""Source of language models that answer without a network, for files that workers load."""

from __future__ import annotations

import importlib.util

# dspy 3.4 asks engines; dspy 3.3 has none, and an LM is a class with `forward`, which dspy 3.4 takes, too.
HAS_ENGINES = importlib.util.find_spec("dspy.lm15") is not None

# Both count 3 + 2 tokens an answer and do what the prompt says: "fail" before anything was answered, "fail late" after.
BY_ENGINE = """
import dspy
from dspy.lm15 import Message, Request, Response, TextPart, Usage


class Engine:
    def __init__(self):
        self.calls = 0

    def complete(self, request):
        self.calls += 1
        text = request.messages[-1].text
        # One request for each of two candidates.
        if text == "fail" or (text == "fail late" and self.calls % 2 == 0):
            raise RuntimeError("told to")
        return Response(
            id=None,
            model=request.model,
            message=Message.assistant([TextPart("yes")]),
            finish_reason="stop",
            usage=Usage(input_tokens=3, output_tokens=2, total_tokens=5),
        )

    def close(self):
        pass


class AsyncEngine:
    async def complete(self, request):
        return Engine().complete(request)

    async def aclose(self):
        pass


lm = dspy.LM("mine/model", engine=Engine(), async_engine=AsyncEngine(), cache=False, num_retries=0)
"""

BY_FORWARD = """
from types import SimpleNamespace

import dspy


class Unreadable:
    @property
    def message(self):
        raise RuntimeError("told to")


class Mine(dspy.BaseLM):
    def forward(self, prompt=None, messages=None, n=1, **kwargs):
        if prompt == "fail":
            raise RuntimeError("told to")
        if prompt == "fail late":
            choices, n = [Unreadable()], 1
        else:
            choices = [SimpleNamespace(message=SimpleNamespace(content="yes", tool_calls=None))] * n
        usage = {"prompt_tokens": 3 * n, "completion_tokens": 2 * n, "total_tokens": 5 * n}
        # What providers mix in.
        usage |= {"is_free": True, "tier": "standard", "completion_tokens_details": {"reasoning_tokens": n}}
        return SimpleNamespace(choices=choices, usage=usage, model=self.model)

    async def aforward(self, prompt=None, messages=None, **kwargs):
        return self.forward(prompt, messages, **kwargs)


lm = Mine("mine/model", cache=False, num_retries=0)
"""

# dspy.LM's own way to a provider in dspy 3.3, and the one for all that is not native in dspy 3.4.
BY_LITELLM = """
import dspy

lm = dspy.LM("openai/gpt-4o-mini", mock_response="yes", api_key="none", num_retries=0)
"""

SOURCES = {"engine": BY_ENGINE, "forward": BY_FORWARD, "litellm": BY_LITELLM}
# What the installed dspy has.
KINDS = ["engine", "forward"] if HAS_ENGINES else ["forward"]
