"""A provider's rate limits: so many requests and tokens a minute, refilled continuously."""

from __future__ import annotations

import math
from collections.abc import Callable

from dspex.samples.server.errors import rate_limited


class Bucket:
    """A token bucket that holds what a minute may take."""

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Full again."""
        self._level = float(self.per_minute)
        self._at = self._clock()

    def wait(self, amount: float) -> float:
        """Seconds until this amount is there."""
        return max(0.0, amount - self.level()) * 60 / self.per_minute

    def take(self, amount: float) -> None:
        """Takes an amount that is there."""
        self._level = self.level() - amount

    def level(self) -> float:
        """What is there now."""
        now = self._clock()
        self._level = min(self.per_minute, self._level + (now - self._at) * self.per_minute / 60)
        self._at = now
        return self._level


class Limits:
    """The limits of all clients together."""

    def __init__(self, requests: float | None, tokens: float | None, clock: Callable[[], float]) -> None:
        self._buckets = {
            name: Bucket(per_minute, clock)
            for name, per_minute in (("requests", requests), ("tokens", tokens))
            if per_minute is not None
        }

    def reset(self) -> None:
        """As if nothing had been taken."""
        for bucket in self._buckets.values():
            bucket.reset()

    def admit(self, tokens: int) -> None:
        """Takes one request with these tokens, or raises a 429 and takes nothing."""
        amounts = {"requests": 1, "tokens": tokens}
        for name, bucket in self._buckets.items():
            if amounts[name] > bucket.per_minute:
                raise rate_limited(
                    f"Request too large: limit {bucket.per_minute:g} {name} per minute, requested {amounts[name]}. "
                    "Waiting does not help; send less or raise the server's limit.",
                    None,
                    name,
                    self.headers(),
                )
        waits = [(bucket.wait(amounts[name]), name) for name, bucket in self._buckets.items()]
        longest, name = max(waits, default=(0.0, ""))
        if longest > 0:
            # Rounded up, and to whole seconds as providers do: who waits that long is served if nobody else comes.
            wait = math.ceil(longest)
            raise rate_limited(
                f"Rate limit reached: {self._buckets[name].per_minute:g} {name} per minute. Try again in {wait} s.",
                wait,
                name,
                self.headers(),
            )
        for name, bucket in self._buckets.items():
            bucket.take(amounts[name])

    def headers(self) -> dict[str, str]:
        """The `x-ratelimit-*` headers of OpenAI."""
        headers = {}
        for name, bucket in self._buckets.items():
            headers[f"x-ratelimit-limit-{name}"] = f"{bucket.per_minute:g}"
            headers[f"x-ratelimit-remaining-{name}"] = str(max(0, math.floor(bucket.level())))
            headers[f"x-ratelimit-reset-{name}"] = f"{bucket.wait(bucket.per_minute):.3f}s"
        return headers
