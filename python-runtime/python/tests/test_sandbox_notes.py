"""What an exception says of the sandbox that is behind it, and nothing where it is not."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from dspex.runtime import failure, references, sandbox, sandbox_notes
from dspex.runtime.protocol import Landlock, SandboxLimits, SandboxOrder

READ = 0b1101


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SandboxOrder:
    own, program = tmp_path / "own", tmp_path / "program"
    for place in (own, program):
        place.mkdir()
    landlock = Landlock(
        handled=0xFFFF, scoped=3, of_files=0, rules=[(str(program), READ), (str(own), 0xFFFF), ("/listed", 0b1000)]
    )
    applied = SandboxOrder(
        own=str(own),
        landlock=landlock,
        filter=b"",
        limits=SandboxLimits(open_files=1024, file_bytes=1, processes=1),
        network=True,
        readable=[str(program), str(own)],
        writable=[str(own)],
    )
    monkeypatch.setattr(sandbox, "applied", applied)
    return applied


def denied(path: str | None = None, number: int = errno.EACCES) -> OSError:
    return OSError(number, os.strerror(number), path) if path else OSError(number, os.strerror(number))


@pytest.mark.parametrize("path", ["/etc/passwd", "/listed/file", "/etc/../etc/shadow"])
def test_a_file_that_is_not_shown_is_named_with_the_key(order: SandboxOrder, path: str) -> None:
    note = sandbox_notes.of(denied(path))
    assert note is not None
    assert os.path.realpath(path) in note
    assert "`readable` in [sandbox]" in note


def test_a_file_that_is_read_only_is_told_where_to_write(order: SandboxOrder, tmp_path: Path) -> None:
    note = sandbox_notes.of(denied(str(tmp_path / "program" / "out.txt")))
    assert note is not None
    assert order.own in note
    assert "`writable` in [sandbox]" in note


def test_a_files_own_mode_is_not_the_sandbox(order: SandboxOrder) -> None:
    assert sandbox_notes.of(denied(f"{order.own}/closed")) is None
    assert sandbox_notes.of(FileNotFoundError(errno.ENOENT, "no", "/etc/passwd")) is None
    assert sandbox_notes.of(ValueError("no")) is None


def test_a_connection_is_told_by_the_network_that_there_is(order: SandboxOrder) -> None:
    assert "metadata" in (sandbox_notes.of(denied()) or "")
    assert "other processes" in (sandbox_notes.of(denied(number=errno.EPERM)) or "")
    assert sandbox_notes.of(socket.gaierror(-3, "no name")) is None
    order.network = False
    assert 'network = "none"' in (sandbox_notes.of(denied()) or "")
    assert 'network = "none"' in (sandbox_notes.of(socket.gaierror(-3, "no name")) or "")


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (denied(number=errno.EMFILE), "open_files"),
        (denied(number=errno.EFBIG), "file_size"),
        (RuntimeError("can't start new thread"), "processes"),
    ],
)
def test_a_limit_names_its_key(order: SandboxOrder, error: BaseException, key: str) -> None:
    assert f"`{key}` in [sandbox]" in (sandbox_notes.of(error) or "")


def test_what_wraps_it_is_looked_into_and_a_loop_of_causes_ends(order: SandboxOrder) -> None:
    wrapped = RuntimeError("the model cannot be loaded")
    wrapped.__cause__ = denied("/models/a.bin")
    assert "/models/a.bin" in (sandbox_notes.of(wrapped) or "")
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert sandbox_notes.of(one) is None


def test_failures_carry_the_note(order: SandboxOrder) -> None:
    told = failure.describe(denied("/etc/passwd"))
    assert told["message"].startswith("[Errno 13] Permission denied: '/etc/passwd'\n")
    assert "`readable`" in told["message"]
    assert "`readable`" in references.raised(denied("/etc/passwd"), "loading x").message


def test_a_load_says_why_the_worker_is_elsewhere(order: SandboxOrder) -> None:
    assert sandbox_notes.of_directory("program_missing", "There is no file.") == "There is no file."
    order.refused = "/home/me/project"
    told = sandbox_notes.of_directory("program_missing", "There is no file.")
    assert "/home/me/project" in told
    assert "`readable`" in told
    assert sandbox_notes.of_directory("program_raised", "ValueError: no") == "ValueError: no"
    assert "/home/me" in sandbox_notes.of_directory("program_raised", "ModuleNotFoundError while importing")


def test_without_a_sandbox_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "applied", None)
    assert sandbox_notes.of(denied("/etc/passwd")) is None
    assert sandbox_notes.with_note("no", denied("/etc/passwd")) == "no"
    assert sandbox_notes.of_directory("program_missing", "no") == "no"
