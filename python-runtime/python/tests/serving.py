"""A server of `dspex.samples.server` in a process of its own, and the plainest of clients."""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import time
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from conftest import PACKAGE_ROOT, PATIENCE_SECONDS

CHAT = "/v1/chat/completions"
COMMAND = [sys.executable, "-m", "dspex.samples.server"]


class Server:
    """Started with these arguments; ended with the block."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "--exit-with-parent", *arguments],
            cwd=PACKAGE_ROOT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        said = json.loads(self.process.stdout.readline())
        self.url: str = said["url"]
        self.pid: int = said["pid"]
        self.address = (urlsplit(self.url).hostname or "", urlsplit(self.url).port or 0)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.terminate()
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()
        assert error is not None or code == 0

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers with small names, and the JSON of the answer."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE_SECONDS)
        try:
            encoded = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, encoded, headers or {})
            answer = connection.getresponse()
            return (
                answer.status,
                {name.lower(): value for name, value in answer.getheaders()},
                json.loads(answer.read()),
            )
        finally:
            connection.close()

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
        return self.call("POST", path, body, headers)

    def stats(self) -> dict[str, Any]:
        """The counts, which have to add up whenever one looks."""
        status, _, counts = self.call("GET", "/stats")
        assert status == 200
        ended = counts["answered"] + counts["rate_limited"] + counts["abandoned"]
        ended += sum(counts["faults"].values()) + sum(counts["refused"].values())
        assert counts["requests"] == ended + counts["in_flight"], counts
        return dict(counts)

    def settled(self) -> dict[str, Any]:
        """The counts when nothing is in flight any more: a client that leaves is noticed a moment later."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (counts := self.stats())["in_flight"]:
            assert time.monotonic() < deadline, counts
            time.sleep(0.01)
        return counts


def prompt(number: int = 0, demos: int = 0) -> list[dict[str, str]]:
    """Messages about image `number`, made of as few words as will do."""

    def image(at: int) -> str:
        chance = random.Random(at)
        return "[[ ## image ## ]]\n" + " ".join(str(chance.randrange(17)) for _ in range(64))

    messages = []
    for demo in range(demos):
        messages.append({"role": "user", "content": image(1000 + demo)})
        messages.append({"role": "assistant", "content": f"[[ ## digit ## ]]\n{demo % 10}"})
    return [*messages, {"role": "user", "content": image(number)}]


def chat(number: int = 0, demos: int = 0, **more: Any) -> dict[str, Any]:
    """The body of a request for a completion."""
    return {"model": "digits", "messages": prompt(number, demos), **more}
