"""The calls by LMRequest of dspy 3.3: each counts once, with the numbers that dspy.track_usage has."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import dspy
import pytest
import scripted_lms

from dspex.runtime import accounting

pytestmark = pytest.mark.skipif(scripted_lms.HAS_ENGINES, reason="dspy 3.4 has no LMRequest")


@pytest.fixture(autouse=True)
def _counting() -> Iterator[None]:
    accounting.install()
    yield
    accounting.uninstall()


def _forwarding() -> Any:
    """An LM of the older kind."""
    scope: dict[str, Any] = {}
    exec(scripted_lms.BY_FORWARD, scope)
    return scope["lm"]


def _typed(**more: Any) -> Any:
    class Typed(dspy.BaseLM):  # type: ignore[misc]
        forward_contract = "typed_lm"

        def forward(self, request: Any) -> Any:
            usage = {"prompt_tokens": 3, "completion_tokens": 2}
            return dspy.LMResponse.from_text("yes", model=request.model, usage=usage, **more)

        async def aforward(self, request: Any) -> Any:
            return self.forward(request)

    return Typed("mine/model")


def _request(text: str = "hello") -> Any:
    return dspy.LMRequest.from_call(model="mine/model", prompt=text)


def _explicitly(lm: Any) -> None:
    lm(_request())


def _asynchronously(lm: Any) -> None:
    asyncio.run(lm.acall(_request()))


def _experimentally(lm: Any) -> None:
    with dspy.context(experimental=True):
        lm("hello")


def _ordinarily(lm: Any) -> None:
    lm("hello")


@pytest.mark.parametrize("call", [_ordinarily, _explicitly, _asynchronously, _experimentally])
@pytest.mark.parametrize("make", [_forwarding, _typed])
def test_each_way_counts_once(make: Callable[[], Any], call: Callable[[Any], None]) -> None:
    account, lm = accounting.Account(), make()
    with dspy.context(**{accounting.CONTEXT_KEY: account}), dspy.track_usage() as tracker:
        call(lm)
        call(lm)
    tracked = tracker.get_total_tokens()["mine/model"]
    (usage,) = (account.usage() or {}).values()
    assert usage["total_tokens"] == 10
    details = usage.pop("completion_tokens_details.reasoning_tokens", None)
    assert details == (2 if make is _forwarding else None)
    # dspy 3.3 adds up flags as well.
    assert usage == {key: value for key, value in tracked.items() if type(value) is int and key != "is_free"}
    assert account.cost() is None
    assert len(account.histories) == len(lm.history) == 2


def test_price_and_cache_of_a_typed_answer_are_its_own() -> None:
    account = accounting.Account()
    with dspy.context(**{accounting.CONTEXT_KEY: account}):
        _typed(cost=0.5)("hello")
        _typed(cost=0.5, cache_hit=True)("hello")
    assert (account.usage() or {})["mine/model"]["prompt_tokens"] == 3
    assert account.cost() == 0.5


def test_a_typed_answer_of_an_lm_of_the_older_kind_counts() -> None:
    class Mixed(dspy.BaseLM):  # type: ignore[misc]
        def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
            return dspy.LMResponse.from_text("yes", usage={"total_tokens": 5}, cost=0.25)

    account = accounting.Account()
    with dspy.context(**{accounting.CONTEXT_KEY: account}), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        Mixed("mine/model")(_request())
    assert (account.usage(), account.cost()) == ({"mine/model": {"total_tokens": 5}}, 0.25)


def test_an_answer_that_cannot_be_read_is_paid_all_the_same() -> None:
    account, lm = accounting.Account(), _forwarding()
    with dspy.context(**{accounting.CONTEXT_KEY: account}), pytest.raises(RuntimeError, match="told to"):
        lm(_request("fail late"))
    assert (account.usage() or {})["mine/model"]["total_tokens"] == 5


def test_dspy_is_left_as_it_was() -> None:
    watched = dspy.BaseLM._process_lm_response
    accounting.uninstall()
    assert dspy.BaseLM._process_lm_response is not watched
    assert not hasattr(dspy.BaseLM._process_lm_response, "__wrapped__")
