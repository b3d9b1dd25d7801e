"""client.programs and client.variables, against the real program with a node of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import dspy
import pytest
from conftest import PROGRAM

import dspex
from dspex.client import connection


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A directory with a node of its own. Short: a socket's path may have 107 bytes."""
    assert os.access(PROGRAM, os.X_OK), f"{PROGRAM} is missing: run make build, or set DSPEX_TEST_PROGRAM"
    place = Path(tempfile.mkdtemp(prefix="dspex-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSPEX_PROGRAM", PROGRAM)
        patch.setenv("DSPEX_HOME", str(place / "home"))
        patch.delenv("DSPEX_ADDRESS", raising=False)
        patch.setattr(connection, "_clients", {})
        yield place
        for client in connection._clients.values():
            client.close()
        subprocess.run([PROGRAM, "local", "stop", "--force"], check=False, capture_output=True)
    shutil.rmtree(place)


@pytest.fixture
def client(home: Path) -> Iterator[dspex.Client]:
    with dspex.connect() as connected:
        yield connected


def dspex_command(*arguments: str) -> dict[str, object]:
    shown = subprocess.run([PROGRAM, *arguments, "-o", "json"], check=True, capture_output=True)
    read: dict[str, object] = json.loads(shown.stdout)
    return read


def test_a_program_is_stored_changed_read_and_deleted(client: dspex.Client) -> None:
    programs = client.programs
    first = programs.put("life", "question, k: int -> answer", variables={"t": 0.2, "k": [1]}, expected_version=0)
    assert (first.name, first.session, first.version) == ("life", None, 1)
    second = programs.put("life", variables={"t": None}, remove_variables=["k"], note="colder", expected_version=1)
    assert (second.id, second.version) == (first.id, 2)
    assert programs.set_status("life", "ready").version == 2
    program = programs.get("life")
    assert program == programs.get(id=first.id)
    assert program.definition == {"signature": "question, k: int -> answer"}
    assert (program.variables, program.status, program.note) == ({"t": None}, "ready", "colder")
    assert (str(program.signature), program.written_by) == ("question, k: int -> answer", "local user")
    assert programs.get("life", version=1).variables == {"t": 0.2, "k": [1]}
    assert [version.version for version in programs.history("life")] == [2, 1]
    assert dspex_command("program", "show", "life")["version"] == 2
    programs.delete("life", expected_version=2)
    with pytest.raises(dspex.ProgramNotFound, match="there is no program life") as missing:
        programs.get("life", read="stale")
    assert missing.value.reason == "PROGRAM_UNKNOWN"


def test_a_conflict_says_where_the_program_stands(client: dspex.Client) -> None:
    client.programs.put("conflict", "q -> a")
    client.programs.put("conflict", "q -> b")
    with pytest.raises(dspex.VersionConflict) as conflict:
        client.programs.put("conflict", "q -> c", expected_version=1)
    assert conflict.value.current == 2
    with pytest.raises(dspex.VersionConflict):
        client.programs.delete("conflict", expected_version=1)
    with pytest.raises(dspex.ProgramNotFound, match="1 to 2, not 9") as missing:
        client.programs.get("conflict", version=9)
    assert missing.value.reason == "PROGRAM_VERSION_NOT_FOUND"


def test_of_threads_each_counts_where_it_saw_what_stood_there(client: dspex.Client) -> None:
    client.variables.set("count", 0)
    ahead: list[bool] = []

    def count() -> None:
        done = 0
        while done < 10:
            held = client.variables.get("count")
            try:
                client.variables.set("count", held.value + 1, expected_version=held.version)
                done += 1
            except dspex.VersionConflict as conflict:
                ahead.append(conflict.current > held.version)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = client.variables.get("count")
    assert (held.value, held.version) == (40, 41)
    assert all(ahead), "a conflict tells of a later version"


def test_what_is_wrong_is_told_by_its_class_and_its_field(client: dspex.Client) -> None:
    put = client.programs.put
    with pytest.raises(dspex.DefinitionInvalid, match='the field "class": it is a word of Python\'s own'):
        put("wrong", "class -> answer")
    with pytest.raises(dspex.DefinitionInvalid, match=r"lm_settings\.api_key") as secret:
        put("wrong", {"signature": "q -> a", "lm": "m", "lm_settings": {"api_key": "sk-1"}})
    assert "sk-1" not in str(secret.value)
    with pytest.raises(dspex.NameInvalid, match="no path"):
        put("../wrong", "q -> a")
    with pytest.raises(dspex.NameInvalid, match="U\\+202E"):
        client.variables.set("\u202ewrong", 1)
    with pytest.raises(dspex.TooLarge, match="1024"):
        put("wrong", "q -> a", note="x" * 1025)
    with pytest.raises(dspex.SessionNotFound):
        put("wrong", "q -> a", session="nobody")
    assert [program.name for program in client.programs.list(prefix="wrong")] == []


def test_a_module_of_dspy_is_stored_and_a_large_one_comes_back_whole(client: dspex.Client) -> None:
    module = dspy.ChainOfThought("question -> answer: float")
    demos = [dspy.Example(question=f"{number}", reasoning="x" * 500, answer=float(number)) for number in range(200)]
    module.predict.demos = demos
    client.programs.put("module", module)
    program = client.programs.get("module")
    assert program.definition is not None
    assert program.definition_digest is not None
    assert program.definition["module"] == "chain_of_thought"
    assert len(program.definition["state"]["predict"]["demos"]) == 200
    (only,) = client.programs.history("module")
    assert (only.definition, only.definition_digest) == (None, program.definition_digest)


def test_what_was_stored_is_executed_by_a_pool(client: dspex.Client) -> None:
    client.programs.put("digits", {"program": "dspex.samples.digits:zero_shot", "lm": "dspex.samples.digits:lm"})
    image = "\n".join(["0 0 5 13 9 1 0 0"] * 8)
    answer = client.pool("general").call("execute_program", {"program_id": "digits", "inputs": {"image": image}})
    assert (answer["version"], type(answer["outputs"]["digit"])) == (1, str)


def test_a_session_executes_its_own_programs_and_takes_no_inputs_that_do_not_fit(client: dspex.Client) -> None:
    session = client.create_session("digits-session")
    definition = {"program": "dspex.samples.digits:zero_shot", "lm": "dspex.samples.digits:lm"}
    session.store_program("own", definition, signature="image -> digit")
    session.store_program("own", variables={"t": 1}, expected_version=1)
    assert [program.name for program in session.programs()] == ["own"]
    assert session.get_program("own").session == "digits-session"
    image = "\n".join(["0 0 5 13 9 1 0 0"] * 8)
    answer = session.execute("execute_program", {"program_id": "own", "inputs": {"image": image}})
    assert (answer["version"], type(answer["outputs"]["digit"])) == (2, str)
    with pytest.raises(dspex.InputsInvalid, match="without image; with unknown picture"):
        session.execute("execute_program", {"program_id": "own", "inputs": {"picture": image}})
    with pytest.raises(dspex.NotDefined):
        client.pool("general").call("execute_program", {"program_id": "own", "inputs": {"image": image}})
    stats = session.stats()
    assert (stats.sessions, stats.versions, stats.programs, sum(stats.homes.values())) == (1, 1, 1, 1)
    assert client.session_stats().programs >= 1
    session.delete_program("own")
    assert session.stats().programs == 0
    with pytest.raises(dspex.SessionNotFound):
        client.session("nobody").stats()


def test_a_session_falls_back_where_that_is_asked_for(client: dspex.Client) -> None:
    dspex_command("session", "create", "s")
    client.programs.put("shared", "q -> of_all")
    assert client.programs.get("shared", session="s", or_global=True).session is None
    client.programs.put("shared", "q -> of_s", session="s")
    assert client.programs.get("shared", session="s", or_global=True).session == "s"
    assert [program.name for program in client.programs.list(session="s")] == ["shared"]


def test_optimizations_are_the_history_of_a_program(client: dspex.Client) -> None:
    client.programs.put("optimized", "q -> a")
    given = client.programs.record_optimization(
        "optimized",
        optimizer_type="MIPROv2",
        parameters={"auto": "light"},
        performance_metrics={"score": 81.5},
        program_version=1,
        training_data_hash="ab" * 32,
    )
    (only,) = client.programs.optimizations("optimized")
    assert (only.id, only.number, only.program_version) == (given, 1, 1)
    assert (only.parameters, only.performance_metrics) == ({"auto": "light"}, {"score": 81.5})
    with pytest.raises(dspex.ProgramNotFound, match="it has no version 2"):
        client.programs.record_optimization(
            "optimized", optimizer_type="x", parameters={}, performance_metrics={}, program_version=2
        )


def test_variables_are_written_read_and_listed(client: dspex.Client) -> None:
    variables = client.variables
    assert variables.set("v.one", {"a": [1, None, "ü"]}) == 1
    assert variables.set("v.one", 2, expected_version=1) == 2
    assert variables.set("v.two", "text") == 1
    assert (variables.get("v.one").value, variables.get("v.one", version=1).value) == (2, {"a": [1, None, "ü"]})
    assert [one.value for one in variables.list(prefix="v.")] == [2, "text"]
    assert [one.version for one in variables.history("v.one")] == [2, 1]
    with pytest.raises(dspex.VersionConflict) as conflict:
        variables.set("v.one", 3, expected_version=0)
    assert conflict.value.current == 2
    variables.delete("v.two")
    with pytest.raises(dspex.VariableNotFound):
        variables.get("v.two")


def test_what_was_acknowledged_is_there_after_the_node_was_killed(client: dspex.Client) -> None:
    for number in range(1, 4):
        assert client.programs.put("killed", "q -> a", variables={"n": number}).version == number
        pid = dspex_command("local", "status")["pid"]
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
    # The next call starts another node.
    assert client.programs.get("killed").variables == {"n": 3}
