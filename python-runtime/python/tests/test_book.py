"""What the book shows, typed as it stands there: every command of its console blocks runs and says what the page says.

A page is followed from its top to its bottom, in a directory and a home of its own. A block of Python or TOML that
begins with `# NAME` is a file; the commands of a console block begin with `$ `. What stands below a command must come
out of it, line by line and in this order (there may be more), where `...` stands for anything, and ids, durations and
sizes for any others. A command succeeds unless the next one is `echo $?`.

A page about clusters names its ports: it is followed in a network of its own, which only root can make. A page that
goes on where another one is says so: `<!-- begins with: PAGE until "HEADING" -->`.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from installed import CHECKOUT, installed

BOOK = CHECKOUT / "docs/src"
PAGES = sorted(page for page in BOOK.rglob("*.md") if "```console\n" in page.read_text())
LIMIT_SECONDS = 120
DONE = "<the command has ended>"
BEGINS_WITH = re.compile(r'^<!-- begins with: (\S+) until "(.+)" -->$', re.MULTILINE)
# Of a network of its own.
NAMES = (f"dspex-book-{os.getpid()}-{number}" for number in count())
# The beginnings of run ids that pages show in commands: the newest run stands for the first, the one before it for the
# second.
RUNS = ("01a1fda7-bbcf", "01a1fda7-9d02")
# Stands for the model behind a key.
OFFLINE = """
import dspy
from dspy.lm15 import Message, Response, TextPart, Usage

class Engine:
    def complete(self, request):
        text = "[[ ## answer ## ]]\\nFour\\n\\n[[ ## completed ## ]]"
        usage = Usage(input_tokens=1, output_tokens=1, total_tokens=2)
        message = Message.assistant([TextPart(text)])
        return Response(id=None, model=request.model, message=message, finish_reason="stop", usage=usage)

    def close(self):
        pass

lm = dspy.LM("offline/four", engine=Engine(), cache=False)
"""

_VARYING = [
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "DIGEST"),
    (re.compile(r"python_worker_\d+_[0-9a-f]{8}"), "WORKER"),
    (re.compile(r"\d+(\.\d+)? (s|ms|MiB)\b"), "SO MUCH"),
    (re.compile(r"\s+"), " "),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(BOOK)))
def test_every_command_of_the_book_does_what_the_page_says(page: Path, tmp_path: Path) -> None:
    whole = _followed(page)
    with installed(tmp_path) as environment, _network(whole) as network:
        shell = Shell(tmp_path / "project", environment, network)
        try:
            for language, text in _blocks(whole):
                if language == "console":
                    for command, shown in _commands(text):
                        shell.follow(command, shown)
                elif language in ("python", "toml") and (name := re.match(r"# (\S+\.\w+)\n", text)):
                    file = shell.directory / name[1]
                    file.parent.mkdir(exist_ok=True)
                    file.write_text(shell.substituted(text))
            shell.expect_no_failure()
        finally:
            shell.close()


def _followed(page: Path) -> str:
    """What is to be typed, from the beginning."""
    text = page.read_text()
    if first := BEGINS_WITH.search(text):
        before, heading, _ = (BOOK / first[1]).read_text().partition(f"\n{first[2]}\n")
        assert heading, f"{first[1]} has no heading {first[2]}"
        return before + "\n" + text
    return text


@contextmanager
def _network(text: str) -> Iterator[list[str]]:
    """How a command is started for the page: where its ports are free, if it has several nodes."""
    if "node-2/dspex.toml" not in text:
        yield []
        return
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("the page is followed in a network namespace, which takes root and iproute2")
    name = next(NAMES)
    within = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run([*within, "ip", "link", "set", "lo", "up"], check=True)
        yield within
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield block[1], block[2]


def _commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command, and what is shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        while command.endswith("\\"):
            more, _, shown = shown.partition("\n")
            command += "\n" + more
        yield command, [line for line in shown.splitlines() if line.strip()]


class Shell:
    """A bash that types one command after the other."""

    def __init__(self, directory: Path, environment: dict[str, str], network: list[str]) -> None:
        directory.mkdir()
        self.directory = directory
        self._environment = dict(environment)
        # What a page writes, and what that is here.
        self._meant = {
            "/opt/app/.venv/bin/python": sys.executable,
            "/home/you/project": str(directory),
            "openai/gpt-4o-mini": "offline.py:lm",
        }
        if not network:
            api, http = _free_port(), _free_port()
            self._environment |= {
                "DSPEX_API__LISTEN": f"127.0.0.1:{api}",
                "DSPEX_HTTP__LISTEN": f"127.0.0.1:{http}",
            }
            self._meant |= {":7400": f":{api}", ":7480": f":{http}"}
        (directory / "offline.py").write_text(OFFLINE)
        # The last command with its output, when it did not succeed.
        self._failed = ""
        self._bash = subprocess.Popen(
            [*network, "bash", "--norc"],
            cwd=directory,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._unread = ""

    def follow(self, command: str, shown: list[str]) -> None:
        if command == "echo $?":
            self._failed = ""
        self.expect_no_failure()
        code, output = self._type(self.substituted(command))
        lines = (_steady(line) for line in self._as_on_the_page(output).splitlines())
        for line in shown:
            wanted = _pattern(line)
            assert any(map(wanted.fullmatch, lines)), f"$ {command}\nis to say\n{line}\nand says\n{output}"
        self._failed = f"{command}\nended with {code}:\n{output}" if code else ""

    def substituted(self, text: str) -> str:
        for written, meant in self._meant.items():
            text = text.replace(written, meant)
        for position, written in enumerate(RUNS):
            if written in text:
                text = text.replace(written, self._runs()[position])
        return text

    def close(self) -> None:
        os.killpg(self._bash.pid, signal.SIGTERM)
        self._bash.communicate(timeout=30)

    def expect_no_failure(self) -> None:
        assert not self._failed, f"$ {self._failed}"

    def _as_on_the_page(self, text: str) -> str:
        for written, meant in self._meant.items():
            text = text.replace(meant, written)
        return text

    def _runs(self) -> list[str]:
        """Ids, newest first: those of the node that the page's commands talk to."""
        code, listed = self._type("dspex run list -o csv 2>/dev/null")
        assert code == 0, f"the page shows a run, and its node lists none:\n{listed}"
        # The shell itself may say that a node was killed.
        return re.findall(r"^([0-9a-f-]{36}),", listed, re.MULTILINE)

    def _type(self, command: str) -> tuple[int, str]:
        assert self._bash.stdin is not None
        # `$?` is the command's own for the next one.
        typed = f"{{ {command}\n}} </dev/null\n(code=$?; printf '\\n{DONE} %d\\n' $code; exit $code)\n"
        self._bash.stdin.write(typed.encode())
        self._bash.stdin.flush()
        output = self._read_until_done(command)
        said, _, code = output.rpartition(f"\n{DONE} ")
        return int(code), said

    def _read_until_done(self, command: str) -> str:
        assert self._bash.stdout is not None
        deadline = time.monotonic() + LIMIT_SECONDS
        while not (done := re.search(f"\n{DONE} \\d+\n", self._unread)):
            ready, _, _ = select.select([self._bash.stdout], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self._bash.stdout.fileno(), 1 << 16) if ready else b""
            assert data, f"$ {command}\ndid not end within {LIMIT_SECONDS} s:\n{self._unread}"
            self._unread += data.decode("utf-8", "replace")
        output, self._unread = self._unread[: done.end()], self._unread[done.end() :]
        return output


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _steady(line: str) -> str:
    for pattern, word in _VARYING:
        line = pattern.sub(word, line)
    return line.strip()


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part.strip()) for part in _steady(line).split("...")), re.DOTALL)
