"""Chat completions: the nearest-demo model's answers in OpenAI's shape, whole or as a stream of events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dspex.samples import nearest_demo
from dspex.samples.server.plan import Malformed
from dspex.samples.server.requests import ChatRequest


@dataclass(frozen=True)
class Completion:
    """What the model wrote: one text per choice."""

    texts: tuple[str, ...]
    plain_texts: tuple[str, ...]
    prompt_tokens: int
    completion_tokens: int

    def usage(self) -> dict[str, int]:
        """The tokens, as OpenAI counts them: the prompt once, whatever the number of choices."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


def complete(request: ChatRequest) -> Completion:
    """Asks the model for every choice."""
    salts = [_salt(request, number) for number in range(request.count)]
    answers = [nearest_demo.answer(request.messages, request.temperature, salt) for salt in salts]
    return Completion(
        texts=tuple(answer.text for answer in answers),
        # What a model writes that forgot the format: nothing in it can be parsed.
        plain_texts=tuple(f"It looks like a {answer.digit} to me." for answer in answers),
        prompt_tokens=answers[0].input_tokens,
        completion_tokens=sum(answer.output_tokens for answer in answers),
    )


def _salt(request: ChatRequest, number: int) -> str | None:
    """The first choice is the one that a request for a single choice has."""
    if number == 0 or request.temperature == 0:
        return request.salt
    return f"{request.salt or ''}/{number}"


def whole(
    request: ChatRequest, completion: Completion, name: str, created: int, malformed: Malformed | None = None
) -> bytes:
    """The body of a completion that is not streamed."""
    texts = completion.plain_texts if malformed is Malformed.NO_MARKERS else completion.texts
    body: dict[str, Any] = {
        "id": name,
        "object": "chat.completion",
        "created": created,
        "model": request.model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
            for index, text in enumerate(texts)
        ],
        "usage": completion.usage(),
    }
    if malformed is Malformed.NO_CHOICES:
        del body["choices"]
    encoded = json.dumps(body).encode()
    return encoded[:-1] + b",}}" if malformed is Malformed.BROKEN_JSON else encoded


def events(
    request: ChatRequest, completion: Completion, name: str, created: int, malformed: Malformed | None = None
) -> list[bytes]:
    """The server-sent events of a completion that is streamed, the last one `[DONE]`."""
    texts = completion.plain_texts if malformed is Malformed.NO_MARKERS else completion.texts
    head = {"id": name, "object": "chat.completion.chunk", "created": created, "model": request.model}

    def event(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
        chunk: dict[str, Any] = {**head, "choices": choices}
        if malformed is Malformed.NO_CHOICES:
            del chunk["choices"]
        if request.include_usage:
            chunk["usage"] = usage
        data = json.dumps(chunk)
        return f"data: {data[:-1] + ',}}' if malformed is Malformed.BROKEN_JSON else data}\n\n".encode()

    def choice(index: int, delta: dict[str, str], finish: str | None = None) -> list[dict[str, Any]]:
        return [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]

    written = []
    for index, text in enumerate(texts):
        written.append(event(choice(index, {"role": "assistant", "content": ""})))
        written += [event(choice(index, {"content": piece})) for piece in _pieces(text)]
        written.append(event(choice(index, {}, "stop")))
    if request.include_usage:
        written.append(event([], completion.usage()))
    return [*written, b"data: [DONE]\n\n"]


def _pieces(text: str) -> list[str]:
    """Word by word, each with the space before it: about what a model's tokens are."""
    pieces: list[str] = []
    for word in text.split(" "):
        pieces.append(f" {word}" if pieces else word)
    return pieces
