"""The plan: the same seed has the same faults, another seed has others, and rates are what they say."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter

import pytest

from dspex.samples.server.attempts import Attempts
from dspex.samples.server.plan import Decision, Fault, Malformed, Plan, decide

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

RATES = st.lists(st.floats(0, 1), min_size=5, max_size=5).map(
    lambda parts: [part / (sum(parts) or 1.0) * 0.999 for part in parts[:4]]
)
PLANS = st.builds(
    lambda seed, rates, faults_max, sigma: Plan(
        seed=seed,
        latency_ms=200,
        latency_sigma=sigma,
        rate_429=rates[0],
        rate_500=rates[1],
        rate_hang=rates[2],
        rate_malformed=rates[3],
        faults_max=faults_max,
    ),
    st.integers(-(2**63), 2**63),
    RATES,
    st.integers(0, 5),
    st.floats(0, 2),
)
DIGESTS = st.binary(min_size=16, max_size=16)


def _digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()[:16]


def _course(plan: Plan, digest: bytes, attempts: int) -> list[Decision]:
    asked = Attempts(plan)
    return [asked.next(digest)[1] for _ in range(attempts)]


@given(PLANS, DIGESTS, st.integers(1, 20))
def test_it_is_a_function(plan: Plan, digest: bytes, attempts: int) -> None:
    assert _course(plan, digest, attempts) == _course(plan, digest, attempts)


@given(PLANS, DIGESTS)
def test_retries_succeed_in_the_end(plan: Plan, digest: bytes) -> None:
    course = _course(plan, digest, 50)
    assert sum(decision.fault is not None for decision in course) <= plan.faults_max
    for decision in course:
        assert decision.latency_seconds >= 0
        assert math.isfinite(decision.latency_seconds)
        assert (decision.malformed is not None) == (decision.fault is Fault.MALFORMED)


@given(PLANS, st.lists(st.integers(0, 5), max_size=40), st.randoms())
def test_the_order_of_requests_does_not_matter(plan: Plan, asked: list[int], chance: random.Random) -> None:
    def decisions(order: list[int]) -> dict[tuple[int, int], Decision]:
        attempts = Attempts(plan)
        taken = {}
        for number in order:
            attempt, decision = attempts.next(_digest(number))
            taken[number, attempt] = decision
        return taken

    assert decisions(asked) == decisions(chance.sample(asked, len(asked)))


@given(PLANS)
def test_rates_are_kept(plan: Plan) -> None:
    """Within five standard deviations and one, for every fault."""
    plan = Plan(**{**vars(plan), "faults_max": 1})
    count = 400
    seen = Counter(decide(plan, _digest(number), 0, 0).fault for number in range(count))
    for fault, rate in plan.rates():
        assert abs(seen[fault] - count * rate) <= 5 * math.sqrt(count * rate * (1 - rate)) + 1, (fault, rate)


@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_another_seed_has_other_faults(left: int, right: int) -> None:
    def faults(seed: int) -> list[Fault | None]:
        plan = Plan(seed=seed, rate_429=0.2, rate_500=0.2, rate_hang=0.1)
        return [decide(plan, _digest(number), 0, 0).fault for number in range(200)]

    assert (faults(left) == faults(right)) == (left == right)


@given(PLANS, DIGESTS)
def test_a_fault_uses_up_its_allowance_only(plan: Plan, digest: bytes) -> None:
    """What is left of the plan does not depend on the faults that were met."""
    assert decide(plan, digest, 3, 0).latency_seconds == decide(plan, digest, 3, 9).latency_seconds
    assert decide(plan, digest, 3, plan.faults_max).fault is None


def test_certain_faults() -> None:
    for name, fault in (("rate_429", Fault.RATE_LIMIT), ("rate_500", Fault.SERVER_ERROR), ("rate_hang", Fault.HANG)):
        plan = Plan(**{name: 1.0}, faults_max=2)  # type: ignore[arg-type]
        assert [decision.fault for decision in _course(plan, b"x", 4)] == [fault, fault, None, None]
    assert {decide(Plan(), _digest(number), 0, 0).fault for number in range(100)} == {None}


def test_every_kind_of_malformed_answer_comes() -> None:
    kinds = Counter(decide(Plan(rate_malformed=1), _digest(number), 0, 0).malformed for number in range(400))
    assert set(kinds) == set(Malformed)
    assert min(kinds.values()) > 60
    only = Plan(rate_malformed=1, malformed_kinds=(Malformed.CUT_OFF,))
    assert {decide(only, _digest(number), 0, 0).malformed for number in range(20)} == {Malformed.CUT_OFF}


def test_latency_is_constant_or_log_normal() -> None:
    constant = Plan(latency_ms=200)
    assert {decide(constant, _digest(number), 0, 0).latency_seconds for number in range(50)} == {0.2}
    spread = Plan(latency_ms=200, latency_sigma=0.5)
    logarithms = [math.log(decide(spread, _digest(number), 0, 0).latency_seconds / 0.2) for number in range(4000)]
    mean = sum(logarithms) / len(logarithms)
    assert abs(mean) < 0.05
    assert abs(math.sqrt(sum((value - mean) ** 2 for value in logarithms) / len(logarithms)) - 0.5) < 0.05


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_429": 1.1},
        {"rate_500": -0.1},
        {"rate_429": 0.6, "rate_hang": 0.6},
        {"rate_hang": math.nan},
        {"latency_ms": -1},
        {"latency_ms": math.inf},
        {"latency_sigma": 6},
        {"faults_max": -1},
        {"malformed_kinds": ()},
    ],
)
def test_wrong_plans_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"(are|is) (from|0 ms|0 or more|needed)"):
        Plan(**wrong)  # type: ignore[arg-type]
