"""What happens to which request: a pure function of the seed, the request's digest and its attempt."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from enum import Enum
from statistics import NormalDist

_NORMAL = NormalDist()


class Fault(Enum):
    """What goes wrong."""

    RATE_LIMIT = "429"
    SERVER_ERROR = "500"
    HANG = "hang"
    MALFORMED = "malformed"


class Malformed(Enum):
    """What is wrong with an answer that has status 200."""

    BROKEN_JSON = "broken-json"
    CUT_OFF = "cut-off"
    NO_CHOICES = "no-choices"
    NO_MARKERS = "no-markers"


@dataclass(frozen=True)
class Plan:
    """The trouble that is wanted."""

    seed: int = 0
    latency_ms: float = 0.0
    latency_sigma: float = 0.0
    rate_429: float = 0.0
    rate_500: float = 0.0
    rate_hang: float = 0.0
    rate_malformed: float = 0.0
    malformed_kinds: tuple[Malformed, ...] = tuple(Malformed)
    # How many faults one request meets at the most, so that retries succeed in the end.
    faults_max: int = 1

    def __post_init__(self) -> None:
        rates = [rate for _, rate in self.rates()]
        if not all(0 <= rate <= 1 for rate in rates) or sum(rates) > 1 + 1e-9:
            raise ValueError("rates are from 0 to 1, and together at most 1")
        if not (math.isfinite(self.latency_ms) and self.latency_ms >= 0):
            raise ValueError("a latency is 0 ms or more")
        if not 0 <= self.latency_sigma <= 5:
            raise ValueError("a latency's sigma is from 0 to 5")
        if self.faults_max < 0:
            raise ValueError("the most faults per request are 0 or more")
        if not self.malformed_kinds:
            raise ValueError("at least one kind of malformed answer is needed")

    def rates(self) -> tuple[tuple[Fault, float], ...]:
        """Every fault with its probability."""
        return (
            (Fault.RATE_LIMIT, self.rate_429),
            (Fault.SERVER_ERROR, self.rate_500),
            (Fault.HANG, self.rate_hang),
            (Fault.MALFORMED, self.rate_malformed),
        )


@dataclass(frozen=True)
class Decision:
    """What happens to one attempt."""

    latency_seconds: float
    fault: Fault | None
    malformed: Malformed | None


def decide(plan: Plan, digest: bytes, attempt: int, faults_before: int) -> Decision:
    """The decision about an attempt (counted from 0).

    `faults_before` is how many of this digest's earlier attempts met a fault: itself a function of the other three.
    """
    drawn = hashlib.blake2b(b"%d/%d/" % (plan.seed, attempt) + digest, digest_size=24).digest()
    fault_draw, latency_draw, kind_draw = (_uniform(drawn[at : at + 8]) for at in (0, 8, 16))
    fault = _fault(plan, fault_draw) if faults_before < plan.faults_max else None
    malformed = None
    if fault is Fault.MALFORMED:
        malformed = plan.malformed_kinds[int(kind_draw * len(plan.malformed_kinds))]
    return Decision(_latency(plan, latency_draw), fault, malformed)


def _fault(plan: Plan, draw: float) -> Fault | None:
    upper = 0.0
    for fault, rate in plan.rates():
        upper += rate
        if draw < upper:
            return fault
    return None


def _latency(plan: Plan, draw: float) -> float:
    """Log-normal around its median, as the latencies of services are; constant without a sigma."""
    median = plan.latency_ms / 1000
    return median * math.exp(plan.latency_sigma * _NORMAL.inv_cdf(draw)) if plan.latency_sigma else median


def _uniform(drawn: bytes) -> float:
    """Above 0 and below 1: 52 bits and a half are exact, so that it never rounds to either."""
    return ((int.from_bytes(drawn, "big") >> 12) + 0.5) / (1 << 52)
