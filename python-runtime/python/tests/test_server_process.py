"""The process: many at once, arguments, and its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PACKAGE_ROOT, PATIENCE_SECONDS, gone
from serving import CHAT, COMMAND, Server, chat


async def _ask(server: Server, numbers: range) -> None:
    """These requests one after another over one connection."""
    reader, writer = await asyncio.open_connection(*server.address)
    for number in numbers:
        body = json.dumps(chat(number)).encode()
        writer.write(f"POST {CHAT} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
    writer.close()


async def _ask_at_once(server: Server, count: int) -> None:
    await asyncio.gather(*(_ask(server, range(number, number + 1)) for number in range(count)))


def test_those_who_wait_wait_together() -> None:
    with Server("--latency-ms", "200") as server:
        started = time.monotonic()
        asyncio.run(_ask(server, range(10)))
        ten = time.monotonic() - started
        started = time.monotonic()
        asyncio.run(_ask_at_once(server, 200))
        assert time.monotonic() - started < ten, "200 at once take less than 10 in a row"
        counts = server.settled()
        assert counts["answered"] == 210
        assert counts["most_in_flight"] > 50
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert "Threads:\t1\n" in status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_to(number: signal.Signals) -> None:
    with Server("--latency-ms", "60000") as server:
        process = subprocess.Popen([sys.executable, "-c", _CLIENT, server.url])
        while not server.stats()["in_flight"]:
            time.sleep(0.01)
        os.kill(server.pid, number)
        assert server.process.wait(PATIENCE_SECONDS) == 0, "it waits for nobody"
        assert process.wait(PATIENCE_SECONDS) == 1


_CLIENT = f"""
import sys, urllib.request
urllib.request.urlopen(sys.argv[1] + "/chat/completions", data={json.dumps(chat()).encode()!r})
"""

_PARENT = """
import subprocess, sys, threading, time
# The thread that starts the server ends at once: the server belongs to the process all the same.
start = lambda: subprocess.Popen(sys.argv[1:])
thread = threading.Thread(target=start)
thread.start()
thread.join()
time.sleep(60)
"""


def test_it_ends_with_its_parent_and_not_before() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, *COMMAND, "--exit-with-parent"], cwd=PACKAGE_ROOT, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = json.loads(parent.stdout.readline())["pid"]
    try:
        assert not gone(pid, 0.6)
        parent.kill()
        assert gone(pid)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def _refusal(*arguments: str, code: int = 2) -> str:
    ended = subprocess.run([*COMMAND, *arguments], cwd=PACKAGE_ROOT, capture_output=True, text=True, timeout=30)
    assert ended.returncode == code
    assert ended.stdout == ""
    return ended.stderr


def test_wrong_arguments_are_refused() -> None:
    assert "together at most 1" in _refusal("--rate-429", "0.6", "--rate-500", "0.6")
    assert "together at most 1" in _refusal("--rate-hang", "1.5")
    assert "is not a number from 0 on" in _refusal("--latency-ms", "-1")
    assert "sigma is from 0 to 5" in _refusal("--latency-sigma", "9")
    assert "is less than 1" in _refusal("--tokens-per-minute", "0")
    assert "is no port" in _refusal("--port", "70000")
    assert "--malformed" in _refusal("--malformed", "rude")
    assert "NOT_A_KEY is not set" in _refusal("--key-env", "NOT_A_KEY")


def test_a_port_that_is_taken_is_said() -> None:
    with Server() as server:
        said = _refusal("--port", str(server.address[1]), code=1)
    assert "cannot listen on 127.0.0.1" in said
    assert "choose another --port" in said


def test_help_has_an_example() -> None:
    ended = subprocess.run([*COMMAND, "--help"], cwd=PACKAGE_ROOT, capture_output=True, text=True, check=True)
    assert "python -m dspex.samples.server --port 8080" in ended.stdout
    assert "--rate-429" in ended.stdout
