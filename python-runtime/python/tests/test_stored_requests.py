"""Requests about programs and variables, as they leave the package and as their answers are read."""

from __future__ import annotations

import os
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dspex
from dspex.programs import Programs
from dspex.request_ids import new_request_id
from dspex.stored_requests import Requests, from_json, to_json
from dspex.variables import Variables

PROGRAM = {
    "program_id": "id",
    "name": "qa",
    "session": "",
    "status": "draft",
    "version": 2,
    "newest_version": 3,
    "definition": '{"signature": "q -> a"}',
    "definition_digest": "",
    "signature": {"inputs": [{"name": "q", "type": None}], "outputs": [{"name": "a", "type": "int"}]},
    "variables": {"t": "0.2"},
    "created_ms": 1,
    "updated_ms": 2,
    "written_ms": 3,
    "written_by": "anna",
    "note": "",
}
WRITTEN = {"program_id": "id", "name": "qa", "session": "s", "version": 1}


class Node:
    """Answers one thing after the other, and keeps what it was asked."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((method, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def refusal(reason: str, **metadata: str) -> dspex.DspexError:
    return dspex.DspexError("no", code="ABORTED", reason=reason, metadata=metadata)


def test_what_is_stored_travels_as_json_texts() -> None:
    node = Node(WRITTEN)
    written = Programs(node).put(
        "qa",
        "q -> a",
        session="s",
        variables={"t": 0.2, "k": [1]},
        remove_variables=["old"],
        note="n",
        expected_version=0,
    )
    assert (written.id, written.session, written.version) == ("id", "s", 1)
    method, body = node.asked[0]
    assert uuid.UUID(body.pop("request_id")[1]).version == 7
    assert method == "programs.put"
    assert body == {
        "name": "qa",
        "session": "s",
        "definition": '{"signature":"q -> a"}',
        "set": {"t": "0.2", "k": "[1]"},
        "removed": ["old"],
        "replace_variables": False,
        "expected_version": 0,
        "note": "n",
    }


def test_a_program_is_read_with_values_and_not_with_their_texts() -> None:
    node = Node(PROGRAM)
    program = Programs(node).get("qa", version=2, read="stale", timeout=1.5)
    assert program.definition == {"signature": "q -> a"}
    assert (program.variables, program.session, program.definition_digest) == ({"t": 0.2}, None, None)
    assert (program.version, program.newest_version, program.written_by) == (2, 3, "anna")
    assert str(program.signature) == "q -> a: int"
    _, body = node.asked[0]
    assert body == {
        "name": "qa",
        "session": "",
        "or_global": False,
        "version": 2,
        "read": "stale",
        "timeout_ms": 1500,
    }


def test_a_session_is_named_by_its_id_or_by_itself() -> None:
    class Session:
        id = "user-1"

    node = Node(PROGRAM, PROGRAM)
    programs = Programs(node)
    programs.get("qa", session="user-1", or_global=True)
    programs.get("qa", session=Session(), or_global=True)
    assert node.asked[0] == node.asked[1]
    assert node.asked[0][1]["session"] == "user-1"


def test_a_list_is_taken_page_by_page() -> None:
    first = {"items": [{**PROGRAM, "name": "a", "definition": ""}], "truncated": True}
    second = {"items": [{**PROGRAM, "name": "b", "definition": ""}], "truncated": False}
    node = Node(first, second)
    listed = Programs(node).list(prefix="", status="draft")
    assert not node.asked, "nothing is asked before it is wanted"
    assert [(program.name, program.definition) for program in listed] == [("a", None), ("b", None)]
    assert [body["after"] for _, body in node.asked] == ["", "a"]


def test_optimizations_are_recorded_and_read() -> None:
    recorded = {
        "optimization_id": "o",
        "number": 1,
        "optimizer_type": "MIPROv2",
        "parameters": '{"auto":"light"}',
        "performance_metrics": '{"score":81.5}',
        "training_data_hash": "",
        "program_version": 2,
        "created_ms": 5,
        "recorded_by": "anna",
    }
    node = Node({"optimization_id": "o", "number": 1}, {"items": [recorded]})
    programs = Programs(node)
    metrics = {"score": 81.5}
    given = programs.record_optimization(
        "qa", optimizer_type="MIPROv2", parameters={"auto": "light"}, performance_metrics=metrics, program_version=2
    )
    assert given == "o"
    (only,) = programs.optimizations("qa")
    assert (only.parameters, only.performance_metrics, only.training_data_hash) == ({"auto": "light"}, metrics, None)


def test_variables_are_written_and_read() -> None:
    answer = {
        "name": "t",
        "value": "[1]",
        "version": 2,
        "newest_version": 2,
        "created_ms": 1,
        "written_ms": 2,
        "written_by": "x",
    }
    node = Node({"name": "t", "version": 2}, answer, {"items": [answer]}, {"items": [answer], "truncated": False}, {})
    variables = Variables(node)
    assert variables.set("t", [1], expected_version=1) == 2
    assert variables.get("t").value == [1]
    assert [one.version for one in variables.history("t")] == [2]
    assert [one.name for one in variables.list()] == ["t"]
    variables.delete("t")
    methods = [method for method, _ in node.asked]
    assert methods == ["variables.set", "variables.get", "variables.history", "variables.list", "variables.delete"]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("PROGRAM_UNKNOWN", dspex.ProgramNotFound),
        ("PROGRAM_VERSION_NOT_FOUND", dspex.ProgramNotFound),
        ("VARIABLE_NOT_FOUND", dspex.VariableNotFound),
        ("SESSION_NOT_FOUND", dspex.SessionNotFound),
        ("SIGNATURE_INVALID", dspex.DefinitionInvalid),
        ("NAME_INVALID", dspex.NameInvalid),
        ("TOO_LARGE", dspex.TooLarge),
        ("OUTCOME_UNKNOWN", dspex.OutcomeUnknown),
        ("NO_LEADER", dspex.DspexError),
    ],
)
def test_what_a_node_refuses_has_a_class(reason: str, kind: type[Exception]) -> None:
    with pytest.raises(dspex.DspexError) as refused:
        Programs(Node(refusal(reason))).get("qa")
    assert type(refused.value) is kind
    assert (refused.value.reason, refused.value.code) == (reason, "ABORTED")


def test_a_conflict_says_where_the_program_stands() -> None:
    with pytest.raises(dspex.VersionConflict) as conflict:
        Programs(Node(refusal("VERSION_CONFLICT", current="7"))).delete("qa", expected_version=6)
    assert conflict.value.current == 7


def test_wrong_arguments_are_refused_before_anything_is_sent() -> None:
    node = Node()
    programs, variables = Programs(node), Variables(node)
    for wrong in (
        lambda: programs.get(),
        lambda: programs.get("qa", id="x"),
        lambda: programs.get(5),  # type: ignore[arg-type]
        lambda: programs.put("qa", 5),
        lambda: programs.get("qa", session=5),
        lambda: programs.put("qa", "q -> a", replace_variables="yes"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError):
            wrong()
    for wrong in (
        lambda: programs.get("qa", version=0),
        lambda: programs.get("qa", read="soon"),  # type: ignore[arg-type]
        lambda: programs.get("qa", timeout=0),
        lambda: variables.set("t", 1, expected_version=-1),
    ):
        with pytest.raises(ValueError, match=r"version|read|timeout"):
            wrong()
    with pytest.raises(dspex.DefinitionInvalid, match=r"variables\['k'\] has no JSON form"):
        programs.put("qa", "q -> a", variables={"k": object()})
    assert not node.asked


def test_each_write_has_an_id_of_its_own_and_keeps_it() -> None:
    node = Node({"version": 1}, {"version": 2})
    requests = Requests(node)
    requests.write("variables.set", {"name": "t"}, None)
    requests.write("variables.set", {"name": "t"}, None)
    one, other = (body["request_id"] for _, body in node.asked)
    assert one[0] == other[0]
    assert one[1] != other[1]


def test_a_fork_is_another_client() -> None:
    own, _ = new_request_id()
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, new_request_id()[0].encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as child:
        assert child.read() not in ("", own)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_a_value_comes_back_as_it_went(value: Any) -> None:
    assert from_json(to_json("it", value)) == value
