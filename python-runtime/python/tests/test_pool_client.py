"""dspex.connect and pools, against the real program with a node of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PACKAGE_ROOT, PROGRAM

import dspex
from dspex import calls as calls_module
from dspex.client import caller, connection
from dspex.samples import digits

_own_caller = caller.caller

COMMANDS = """
import os
import time


def double(number):
    return 2 * number


def nap(seconds=0.0, value=None):
    time.sleep(seconds)
    return value


def fail(text):
    raise LookupError(text)


def die():
    os._exit(3)


def count(path):
    with open(path, "a") as file:
        file.write("x")
"""


def _caller() -> dict[str, Any]:
    """Without what pytest changes for each test: the tests share a pool, as the calls of a program do."""
    own = _own_caller()
    return {**own, "environment": {k: v for k, v in own["environment"].items() if k != "PYTEST_CURRENT_TEST"}}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A directory with a node of its own. Short: a socket's path may have 107 bytes."""
    assert os.access(PROGRAM, os.X_OK), f"{PROGRAM} is missing: run make build, or set DSPEX_TEST_PROGRAM"
    place = Path(tempfile.mkdtemp(prefix="dspex-"))
    (place / "commands.py").write_text(COMMANDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSPEX_PROGRAM", PROGRAM)
        patch.setenv("DSPEX_HOME", str(place / "home"))
        patch.delenv("DSPEX_ADDRESS", raising=False)
        patch.setenv("DSPEX_POOLS__GENERAL__WORKERS", "2")
        patch.setenv("DSPEX_POOLS__OPTIMIZER__QUEUE_MAX", "2")
        patch.setattr(connection, "_clients", {})
        patch.setattr(caller, "caller", _caller)
        yield place
        for client in connection._clients.values():
            client.close()
        subprocess.run([PROGRAM, "local", "stop", "--force"], check=False, capture_output=True)
    shutil.rmtree(place)


@pytest.fixture
def client(home: Path) -> Iterator[dspex.Client]:
    with dspex.connect() as connected:
        yield connected


@pytest.fixture
def pool(client: dspex.Client) -> dspex.Pool:
    return client.pool("general")


@pytest.fixture
def command(home: Path) -> Any:
    return lambda name: f"{home / 'commands.py'}:{name}"


def node_pid() -> int:
    shown = subprocess.run([PROGRAM, "local", "status", "-o", "json"], check=True, capture_output=True)
    return int(json.loads(shown.stdout)["pid"])


def test_results_are_what_the_command_returned(pool: dspex.Pool, command: Any) -> None:
    answer = pool.call("ping", {"n": 1, "text": "ä", "list": [None, True, 1.5]})
    assert answer["payload"] == {"n": 1, "text": "ä", "list": [None, True, 1.5]}
    assert pool.call(command("double"), 21) == 42
    assert pool.call(command("double"), {"number": 1.5}) == 3
    assert pool.call(command("nap")) is None


def test_a_program_is_created_and_executed(pool: dspex.Pool) -> None:
    program = {"program": "dspex.samples.digits:zero_shot", "lm": "dspex.samples.digits:lm"}
    pool.call("create_program", {"id": "digits", **program})
    inputs = [{"program_id": "digits", "inputs": dict(example.inputs())} for example in digits.devset[:4]]
    outputs = [result["outputs"] for result in pool.map("execute_program", inputs)]
    assert len(outputs) == 4
    assert all(set(output) == {"digit"} for output in outputs)


def test_futures(pool: dspex.Pool, command: Any) -> None:
    futures = [pool.submit(command("double"), number) for number in range(50)]
    assert [future.result(timeout=30) for future in futures] == [2 * number for number in range(50)]
    seen: list[Any] = []
    done = threading.Event()
    pool.submit(command("double"), 4).add_done_callback(lambda future: (seen.append(future.result()), done.set()))
    assert done.wait(30)
    assert seen == [8]


def test_map_keeps_the_order_and_takes_only_so_many_ahead(pool: dspex.Pool, command: Any) -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = pool.map(command("double"), numbers(), in_flight=8)
    assert next(results) == 0
    assert len(taken) <= 9
    assert list(results) == [2 * number for number in range(1, 100)]
    with pytest.raises(ValueError, match="in_flight"):
        next(pool.map("ping", [1], in_flight=0))


def test_map_raises_where_the_result_would_stand(pool: dspex.Pool, command: Any) -> None:
    results = pool.map(command("double"), [1, {"wrong": 2}, 3])
    assert next(results) == 2
    with pytest.raises(dspex.CallFailed, match="wrong"):
        next(results)
    assert list(results) == []


def test_many_threads_each_get_their_own_answers(pool: dspex.Pool) -> None:
    wrong: list[Any] = []

    def caller(number: int) -> None:
        for turn in range(50):
            payload = [number, turn]
            answer = pool.call("ping", payload)
            if answer["payload"] != payload:
                wrong.append((payload, answer))

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_coroutines(pool: dspex.Pool, command: Any) -> None:
    async def many() -> list[Any]:
        return await asyncio.gather(*(pool.acall(command("double"), number) for number in range(30)))

    assert asyncio.run(many()) == [2 * number for number in range(30)]

    async def impatient() -> None:
        await asyncio.wait_for(pool.acall(command("nap"), {"seconds": 20}, timeout=1), 0.2)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(impatient())

    async def failing() -> None:
        await pool.acall(command("fail"), "here")

    with pytest.raises(dspex.CallFailed, match="here"):
        asyncio.run(failing())


def test_what_a_command_raises_has_its_type_and_traceback(pool: dspex.Pool, command: Any) -> None:
    with pytest.raises(dspex.CallFailed) as failed:
        pool.call(command("fail"), "no such thing")
    assert failed.value.type == "LookupError"
    assert "no such thing" in str(failed.value)
    assert failed.value.traceback is not None
    assert "in fail" in failed.value.traceback
    with pytest.raises(dspex.NotDefined, match="no_such_command"):
        pool.call("no_such_command")


def test_what_was_not_created_is_not_defined(pool: dspex.Pool) -> None:
    with pytest.raises(dspex.NotDefined, match="create it first"):
        pool.call("execute_program", {"program_id": "nowhere", "inputs": {}})


def test_a_call_that_takes_too_long_is_ended(pool: dspex.Pool, command: Any) -> None:
    with pytest.raises(dspex.CallTimedOut):
        pool.call(command("nap"), {"seconds": 30}, timeout=0.2)


def test_a_call_that_no_worker_takes_in_time_is_given_back(pool: dspex.Pool, command: Any) -> None:
    busy = [pool.submit(command("nap"), {"seconds": 2}, queue_timeout=30) for _ in range(2)]
    deadline = time.monotonic() + 30
    while pool.stats().busy < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    with pytest.raises(dspex.QueueTimeout):
        pool.call("ping", queue_timeout=0.1)
    assert [future.result(timeout=30) for future in busy] == [None, None]


def test_a_worker_that_dies_is_named(pool: dspex.Pool, command: Any) -> None:
    with pytest.raises(dspex.WorkerLost) as lost:
        pool.call(command("die"), retries=0)
    assert isinstance(lost.value.output, str)
    assert pool.call(command("double"), 1) == 2


def test_a_full_pool_refuses(client: dspex.Client, command: Any) -> None:
    pool = client.pool("optimizer")
    pool.call("ping")
    futures = [pool.submit(command("nap"), {"seconds": 0.5}) for _ in range(8)]
    errors = [future.exception(timeout=30) for future in futures]
    assert sum(isinstance(error, dspex.PoolFull) for error in errors) == 5
    assert errors.count(None) == 3
    assert pool.stats().refused == 5


def test_calls_wait_here_when_the_stream_is_full(
    pool: dspex.Pool, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_module, "WINDOW", 4)
    monkeypatch.setattr(calls_module, "QUEUE_MAX", 20)
    pool.call("ping")
    waiting = [pool.submit(command("nap"), {"seconds": 0.05, "value": number}) for number in range(20)]

    def flood() -> None:
        for _ in range(30):
            pool.submit(command("nap"), {"seconds": 0.05})

    with pytest.raises(dspex.PoolFull, match=r"Pool\.map"):
        flood()
    assert [future.result(timeout=30) for future in waiting[:20]] == list(range(20))


def test_a_cancelled_future_is_given_up(
    pool: dspex.Pool, command: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One at a time goes to the node, so that the second is still here.
    monkeypatch.setattr(calls_module, "WINDOW", 1)
    counted = home / "counted"
    pool.call("ping")
    first = pool.submit(command("nap"), {"seconds": 0.3})
    second = pool.submit(command("count"), {"path": str(counted)})
    assert second.cancel()
    assert second.cancelled()
    assert concurrent.futures.wait([first, second], timeout=30).not_done == set()
    assert pool.call("ping", 1)["payload"] == 1
    assert not counted.exists()
    assert not first.cancel()


def test_what_cannot_be_sent_is_refused_here(pool: dspex.Pool) -> None:
    with pytest.raises(TypeError):
        pool.call("ping", object())
    with pytest.raises(dspex.DspexError, match="16 MiB") as long:
        pool.call("ping", "x" * (17 << 20))
    assert long.value.reason == "TOO_LARGE"
    for limits in ({"timeout": -1}, {"queue_timeout": float("nan")}, {"retries": -1}):
        with pytest.raises(ValueError, match=next(iter(limits))):
            pool.call("ping", **limits)  # type: ignore[arg-type]
    assert len(pool.call("ping", "x" * (5 << 20))["payload"]) == 5 << 20


def test_a_command_that_is_no_name_is_refused_here(pool: dspex.Pool) -> None:
    with pytest.raises(TypeError, match="whose name is 'test_pool_client:node_pid'"):
        pool.submit(node_pid, 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="called by its name"):
        pool.call(lambda: 1)  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match="no form in UTF-8"):
        pool.call("\ud800")
    with pytest.raises(ValueError, match="at most 8192 bytes"):
        pool.call("ä" * 5000)

    class Name(str):
        """As NumPy's."""

    assert pool.call(Name("ping"), 1)["payload"] == 1


def test_limits_that_have_no_form_in_a_frame_are_refused_here(pool: dspex.Pool) -> None:
    class Count:
        """As NumPy's."""

        def __index__(self) -> int:
            return 1

    with pytest.raises(TypeError, match="retries is a whole number"):
        pool.call("ping", retries=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="retries"):
        pool.call("ping", retries=2**70)
    assert pool.call("ping", 2, retries=Count())["payload"] == 2  # type: ignore[arg-type]


def test_a_pool_that_does_not_exist_is_named(client: dspex.Client) -> None:
    with pytest.raises(dspex.DspexError, match="general, optimizer and inference") as error:
        client.pool("genral").call("ping")
    assert error.value.reason == "POOL_NOT_FOUND"


def test_a_name_that_is_no_text_is_refused_here(client: dspex.Client) -> None:
    with pytest.raises(TypeError, match='"general", "optimizer" or "inference"'):
        client.pool(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="HOST:PORT"):
        dspex.connect(5)  # type: ignore[arg-type]


def test_stats(client: dspex.Client, pool: dspex.Pool) -> None:
    before = pool.stats().requests
    for _ in range(3):
        pool.call("ping")
    stats = pool.stats()
    assert stats.pool == "general"
    assert stats.requests == before + 3
    assert (stats.queued, stats.in_flight) == (0, 0)
    assert stats.health in ("ok", "warning", "error")
    assert "general" in {each.pool for each in client.pools()}


def test_a_callback_may_not_wait_for_another_call(pool: dspex.Pool, command: Any) -> None:
    seen: list[Any] = []
    done = threading.Event()

    def callback(_: Any) -> None:
        try:
            pool.call("ping")
        except dspex.DspexError as error:
            seen.append(error)
        done.set()

    pool.submit(command("nap"), {"seconds": 0.2}).add_done_callback(callback)
    assert done.wait(30)
    assert "must not wait" in str(seen[0])


def test_ctrl_c_gives_the_call_up(pool: dspex.Pool, command: Any) -> None:
    pool.call("ping")
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        pool.call(command("nap"), {"seconds": 20}, timeout=2)
    assert time.monotonic() - began < 2
    assert pool.call("ping", 2)["payload"] == 2


def test_a_closed_client_says_so(home: Path, command: Any) -> None:
    client = dspex.connect()
    pool = client.pool()
    under_way = pool.submit(command("nap"), {"seconds": 1})
    client.close()
    with pytest.raises(dspex.DspexError, match="closed while the call was under way"):
        under_way.result(timeout=10)
    with pytest.raises(dspex.DspexError, match="the pool general is closed"):
        pool.call("ping")
    with pytest.raises(dspex.DspexError, match="connect again"):
        client.pool()


def test_a_fork_has_a_connection_of_its_own(pool: dspex.Pool) -> None:
    assert pool.call("ping", 1)["payload"] == 1
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if pool.call("ping", "child")["payload"] == "child" else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert pool.call("ping", 2)["payload"] == 2


def test_the_end_of_the_client_process_is_told_and_the_next_call_connects(pool: dspex.Pool, command: Any) -> None:
    pool.call("ping")
    under_way = pool.submit(command("nap"), {"seconds": 5}, timeout=6)
    (process,) = (client._process._process for client in connection._clients.values() if client.alive)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(dspex.ConnectionLost, match="killed by signal 9"):
        under_way.result(timeout=30)
    assert pool.call("ping", 1, queue_timeout=30)["payload"] == 1


def test_the_end_of_the_node_is_told_and_the_next_call_finds_another(pool: dspex.Pool, command: Any) -> None:
    pool.call("ping")
    old = node_pid()
    under_way = pool.submit(command("nap"), {"seconds": 5})
    time.sleep(0.2)
    os.kill(old, signal.SIGKILL)
    with pytest.raises(dspex.ConnectionLost):
        under_way.result(timeout=30)
    assert pool.call("ping", 1)["payload"] == 1
    assert node_pid() != old
    assert pool.stats().pool == "general"


def test_connecting_does_not_import_dspy(home: Path) -> None:
    code = "import sys, dspex; dspex.connect().pool().call('ping'); sys.exit('dspy' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
