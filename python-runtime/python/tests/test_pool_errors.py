"""What a refusal says of the node that gave it."""

from __future__ import annotations

import pytest

import dspex
from dspex.pool_errors import error_of, is_lost


def test_a_node_that_drains_has_executed_nothing_and_is_not_given_up_for_the_calls_that_it_has() -> None:
    error = error_of({"code": "UNAVAILABLE", "reason": "NODE_DRAINING", "message": "this node drains"})
    assert type(error) is dspex.ConnectionLost
    assert (error.reason, str(error)) == ("NODE_DRAINING", "this node drains")
    assert not is_lost(error.code, error.reason)


@pytest.mark.parametrize("reason", ["NODE_STOPPING", "NODE_UNREACHABLE", "NO_LEADER", "SOMETHING_NEWER", ""])
def test_a_node_that_cannot_be_asked_is_lost(reason: str) -> None:
    assert is_lost("UNAVAILABLE", reason)
    assert isinstance(error_of({"code": "UNAVAILABLE", "reason": reason}), dspex.ConnectionLost)
