"""What a refusal says of the node that gave it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dspex
from dspex.calls import Calls
from dspex.pool_errors import error_of, is_lost
from dspex.waiting import Blocked


def test_a_node_that_drains_has_executed_nothing_and_is_not_given_up_for_the_calls_that_it_has() -> None:
    error = error_of({"code": "UNAVAILABLE", "reason": "NODE_DRAINING", "message": "this node drains"})
    assert type(error) is dspex.ConnectionLost
    assert (error.reason, str(error)) == ("NODE_DRAINING", "this node drains")
    assert not is_lost(error.code, error.reason)


@pytest.mark.parametrize("reason", ["NODE_STOPPING", "NODE_UNREACHABLE", "NO_LEADER", "SOMETHING_NEWER", ""])
def test_a_node_that_cannot_be_asked_is_lost(reason: str) -> None:
    assert is_lost("UNAVAILABLE", reason)
    assert isinstance(error_of({"code": "UNAVAILABLE", "reason": reason}), dspex.ConnectionLost)


class Streams:
    """A client whose answers the test gives."""

    deliver: Callable[[dict[str, Any]], None]

    def stream(self, method: str, body: dict[str, Any], deliver: Any) -> Any:
        self.deliver = deliver
        return self

    def send_when_due(self, gather: Any) -> None:
        gather()


def test_after_a_draining_nodes_refusal_calls_go_over_another_stream_and_those_under_way_are_answered() -> None:
    client: Any = Streams()
    calls = Calls(client, "general", {})
    refused, under_way = Blocked(), Blocked()
    no_limits = (None, None, None)
    first = calls.add(under_way, "nap", b"", no_limits, None)
    second = calls.add(refused, "nap", b"", no_limits, None)
    assert calls.usable
    error = {"code": "UNAVAILABLE", "reason": "NODE_DRAINING", "message": "this node drains"}
    client.deliver({"answers": [{"id": second, "error": error}]})
    with pytest.raises(dspex.ConnectionLost, match="this node drains"):
        refused.result()
    assert not calls.usable
    client.deliver({"answers": [{"id": first, "result": b"7", "error": None}]})
    assert under_way.result() == 7
