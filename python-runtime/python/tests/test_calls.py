"""A real worker that serves a pool's calls: when it answers, and what it hears meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Worker, Zygote

SERVE, CALLS, DEFINE, PING, RECALL = 6, 7, 8, 4, 9
PONG, SERVING, REPLIES, RETURNED = 22, 24, 25, 26
SLOW_SECONDS = 3.0
# Far from the slow call's end, also on a busy machine.
SOON_SECONDS = 1.5


class Served:
    """Replies and whatever else came, with the time since the calls were sent."""

    def __init__(self, worker: Worker, directory: Path) -> None:
        self.worker = worker
        self.tools = str(directory / "tools.py")
        self.replies: dict[int, list[Any]] = {}
        self.came: dict[int, float] = {}

    def send(self, *calls: tuple[str, Any]) -> None:
        frame = [[number, name, json.dumps(given).encode(), None, None] for number, (name, given) in enumerate(calls)]
        self.sent = time.monotonic()
        self.worker.connection.send(CALLS, {"calls": frame})

    def nap(self, seconds: float) -> tuple[str, Any]:
        return f"{self.tools}:nap", {"seconds": seconds}

    def reply(self, number: int) -> list[Any]:
        while number not in self.replies:
            self.take(REPLIES)
        return self.replies[number]

    def take(self, wanted: int) -> dict[str, Any]:
        """The next frame of this kind; replies on the way are kept."""
        while True:
            received = self.worker.connection.receive()
            assert received is not None, self.worker.output.decode()
            kind, body = received
            if kind == REPLIES:
                for reply in body["replies"]:
                    assert reply[0] not in self.replies, "answered twice"
                    self.replies[reply[0]] = reply
                    self.came[reply[0]] = time.monotonic() - self.sent
            if kind == wanted:
                return body  # type: ignore[no-any-return]


@pytest.fixture
def serve(zygote: Zygote, tmp_path: Path) -> Iterator[Callable[[int], Served]]:
    (tmp_path / "tools.py").write_text(
        "import asyncio, time\nimport dspy\n\n"
        "def nap(seconds):\n    time.sleep(seconds)\n    return seconds\n\n"
        "async def answer(number):\n    await asyncio.sleep(0)\n    return [number, dspy.settings.max_errors]\n\n"
        "async def fail():\n    raise LookupError('told to')\n"
    )
    workers: list[Worker] = []

    def begin(threads: int) -> Served:
        worker = zygote.fork(tmp_path)
        workers.append(worker)
        worker.connection.send(
            SERVE, {"pool": "general", "threads": threads, "commands": [], "lm": None, "protocol": 1}
        )
        worker.connection.expect(SERVING)
        served = Served(worker, tmp_path)
        served.send(served.nap(0))  # The file is imported.
        served.reply(0)
        served.replies.clear()
        return served

    yield begin
    for worker in workers:
        worker.connection.close()


@pytest.mark.parametrize("threads", [1, 8])
def test_a_reply_does_not_wait_for_a_slow_call_behind_it(serve: Callable[[int], Served], threads: int) -> None:
    served = serve(threads)
    served.send(("ping", 1), served.nap(SLOW_SECONDS))
    assert json.loads(served.reply(0)[2])["payload"] == 1
    assert served.came[0] < SOON_SECONDS
    served.reply(1)


def test_the_reply_of_a_quick_call_between_two_slow_ones_is_not_kept_back(serve: Callable[[int], Served]) -> None:
    served = serve(1)
    # While the first is executed, the guard begins to read.
    served.send(served.nap(0.3), ("ping", 1), served.nap(SLOW_SECONDS))
    served.reply(1)
    assert served.came[1] < SOON_SECONDS
    served.reply(2)


def test_a_busy_worker_hears_pings_and_gives_back_what_it_has_not_begun(serve: Callable[[int], Served]) -> None:
    served = serve(1)
    # Each is just not slow enough for the guard.
    served.send(*[served.nap(0.009)] * 200)
    served.worker.connection.send(PING, {"payload": b"?"})
    served.take(PONG)
    assert time.monotonic() - served.sent < SOON_SECONDS
    served.worker.connection.send(RECALL, {})
    returned = served.take(RETURNED)["calls"]
    assert len(returned) > 50
    for number in set(range(200)) - set(returned):
        served.reply(number)
    assert not set(returned) & set(served.replies)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_coroutine_is_awaited(serve: Callable[[int], Served], threads: int) -> None:
    served = serve(threads)
    served.send((f"{served.tools}:answer", {"number": 3}), (f"{served.tools}:fail", None))
    _, status, body, *_ = served.reply(0)
    assert (status, json.loads(body)) == (0, [3, 10])
    _, status, body, *_ = served.reply(1)
    assert (status, msgspec.msgpack.decode(body)["type"]) == (1, "LookupError")


def test_many_quick_replies_travel_together(serve: Callable[[int], Served]) -> None:
    served = serve(1)
    frames = []
    # More than once: where the machine is so busy that quick calls look slow, each is answered at once.
    for _ in range(5):
        served.replies.clear()
        served.send(*[("ping", number) for number in range(1000)])
        frames.append(0)
        while len(served.replies) < 1000:
            served.take(REPLIES)
            frames[-1] += 1
    assert min(frames) < 200


def test_a_program_that_is_defined_again_as_it_was_is_not_built_again(serve: Callable[[int], Served]) -> None:
    served = serve(1)
    served.send(("create_program", {"id": "qa", "signature": "question -> answer"}))
    status, body = served.reply(0)[1:3]
    assert status == 3
    import msgspec

    _, name, definition = msgspec.msgpack.decode(body)
    served.worker.connection.send(DEFINE, {"name": name, "body": definition})
    other = json.dumps({**json.loads(definition), "signature": "text -> label"}).encode()
    served.worker.connection.send(DEFINE, {"name": name, "body": other})
    served.replies.clear()
    served.send(("execute_program", {"program_id": "qa", "inputs": {"question": "?"}}))
    assert b"its inputs are text" in served.reply(0)[2], "the last definition counts"


def test_a_stored_program_is_asked_for_once_for_each_of_its_versions(serve: Callable[[int], Served]) -> None:
    served = serve(1)

    def call(version: int) -> tuple[int, bytes]:
        served.replies.clear()
        served.send(("execute_program", {"program_id": "qa", "inputs": {"x": 1}, "stored": f"id@{version}"}))
        status, body = served.reply(0)[1:3]
        return status, body

    for version, field in [(1, "question"), (2, "text")]:
        name = f"stored program id@{version}"
        assert call(version) == (2, name.encode()), "not known"
        body = json.dumps({"signature": f"{field} -> answer"}).encode()
        served.worker.connection.send(DEFINE, {"name": name, "body": body})
        for _ in range(2):
            status, said = call(version)
            assert status == 1
            assert f"its inputs are {field}".encode() in said
            assert b"the program 'qa'" in said
    assert b"its inputs are question" in call(1)[1], "both are kept"


VARIED = """
import dspex, dspy

class Varied(dspy.Module):
    def forward(self, name):
        current = dspex.current_program()
        current.variables["name"] = "changed"
        return dspy.Prediction(value=current.variables.get(name), of=[current.name, current.version])

varied = Varied()

def outside():
    try:
        return dspex.current_program().name
    except ValueError as error:
        return str(error)
"""


def test_a_stored_program_finds_the_variables_of_the_version_that_is_executed(
    serve: Callable[[int], Served], tmp_path: Path
) -> None:
    served = serve(1)
    (tmp_path / "varied.py").write_text(VARIED)
    body = json.dumps({"program": f"{tmp_path / 'varied.py'}:varied"}).encode()
    cases: list[tuple[int, dict[str, Any], str | None]] = [
        (1, {"variables": {"name": "a"}}, "a"),
        (2, {}, None),
        (1, {"variables": {}}, None),
    ]
    for version, more, value in cases:
        served.worker.connection.send(DEFINE, {"name": f"stored program id@{version}", "body": body})
        served.replies.clear()
        given = {"program_id": "qa", "inputs": {"name": "name"}, "stored": f"id@{version}", **more}
        served.send(("execute_program", given))
        status, answer = served.reply(0)[1:3]
        assert status == 0, answer
        assert json.loads(answer)["outputs"] == {"value": value, "of": ["qa", version]}
    # It is of that call alone, and a caller brings none.
    served.replies.clear()
    served.send(
        (f"{tmp_path / 'varied.py'}:outside", {}),
        ("execute_program", {"program_id": "qa", "inputs": {}, "variables": {"name": "mine"}}),
    )
    assert "no stored program" in json.loads(served.reply(0)[2])
    assert b"execute_program takes" in served.reply(1)[2]


@pytest.mark.parametrize("given", [{}, {"a": 1}, None, "x"])
def test_a_ping_gives_back_what_it_was_given(serve: Callable[[int], Served], given: Any) -> None:
    served = serve(1)
    served.send(("ping", given))
    assert json.loads(served.reply(0)[2])["payload"] == given
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    served.worker.connection.send(CALLS, {"calls": [[7, "ping", json.dumps(given).encode(), trace, None]]})
    assert json.loads(served.reply(7)[2])["payload"] == given


def test_a_program_gives_its_trace_beside_its_result_only_where_that_is_wanted(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "qa.py").write_text(
        "import dspy\nfrom dspy.utils.dummies import DummyLM\n\n"
        "class Qa(dspy.Module):\n"
        "    def __init__(self):\n        self.answer = dspy.Predict('question -> answer')\n"
        "    def forward(self, question):\n"
        "        with dspy.context(lm=DummyLM([{'answer': 'so'}])):\n"
        "            return self.answer(question=question)\n\n"
        "program = Qa()\n"
    )
    bodies = []
    for traces in (False, True):
        worker = zygote.fork(tmp_path)
        serve = {"pool": "general", "threads": 1, "commands": [], "lm": None, "traces": traces, "protocol": 1}
        worker.connection.send(SERVE, serve)
        worker.connection.expect(SERVING)
        served = Served(worker, tmp_path)
        call = {"program_id": "qa", "inputs": {"question": "why?"}}
        served.send(("create_program", {"id": "qa", "program": f"{tmp_path}/qa.py:program"}), ("execute_program", call))
        served.reply(0)
        bodies.append(served.reply(1)[1:3])
        worker.connection.close()
    (done, plain), (traced, body) = bodies
    assert (done, traced) == (0, 5)
    result, trace, changes = msgspec.msgpack.decode(body)
    assert (result, changes) == (plain, None)
    assert [entry["outputs"] for entry in json.loads(trace)] == [{"answer": "so"}]
