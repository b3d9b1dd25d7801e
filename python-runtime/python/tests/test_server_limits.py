"""The rate limit, with a clock that is set by hand."""

from __future__ import annotations

import math

import pytest

from dspex.samples.server.errors import ApiError
from dspex.samples.server.limits import Limits


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _refusal(limits: Limits, tokens: int = 1) -> ApiError:
    with pytest.raises(ApiError) as raised:
        limits.admit(tokens)
    assert raised.value.status == 429
    return raised.value


def test_a_minutes_worth_and_then_as_it_refills(clock: Clock) -> None:
    limits = Limits(120, None, clock)
    for _ in range(120):
        limits.admit(1)
    for _ in range(3):
        assert _refusal(limits).headers["Retry-After"] == "1", "who is turned away takes nothing"
    clock.now += 1
    limits.admit(1)
    limits.admit(1)
    _refusal(limits)
    clock.now += 3600
    assert limits.headers()["x-ratelimit-remaining-requests"] == "120", "never more than a minute's worth"


@pytest.mark.parametrize("tokens", [1, 300, 999, 1000])
def test_who_waits_as_told_is_served(clock: Clock, tokens: int) -> None:
    limits = Limits(60, 1000, clock)
    limits.admit(1000)
    error = _refusal(limits, tokens)
    wait = int(error.headers["Retry-After"])
    assert wait == max(1, math.ceil(tokens * 60 / 1000))
    assert f"1000 tokens per minute. Try again in {wait} s" in str(error)
    clock.now += wait
    limits.admit(tokens)


def test_headers_are_those_of_openai(clock: Clock) -> None:
    limits = Limits(60, 1000, clock)
    limits.admit(100)
    assert limits.headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1.000s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "900",
        "x-ratelimit-reset-tokens": "6.000s",
    }
    limits.reset()
    assert limits.headers()["x-ratelimit-remaining-tokens"] == "1000"
    assert Limits(None, None, clock).headers() == {}


def test_what_never_fits_is_not_told_to_wait(clock: Clock) -> None:
    error = _refusal(Limits(None, 1000, clock), 1001)
    assert "Request too large" in str(error)
    assert "Retry-After" not in error.headers
