"""The program `dspex`: where it is, and its client process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

from dspex.errors import DspexError

VARIABLE = "DSPEX_PROGRAM"
NOT_FOUND = "PROGRAM_NOT_FOUND"
_TAIL_BYTES = 64 * 1024
_PATIENCE_SECONDS = 2.0


def find() -> str:
    """DSPEX_PROGRAM, else `dspex` beside the interpreter, else the one on PATH."""
    named = os.environ.get(VARIABLE)
    if named:
        if not os.access(named, os.X_OK):
            raise DspexError(
                f"{VARIABLE} is {named}, which cannot be run. Point it to the program dspex, or unset it",
                code="FAILED_PRECONDITION",
                reason=NOT_FOUND,
            )
        return named
    beside = Path(sys.executable).parent / "dspex"
    if os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which("dspex")
    if found is None:
        raise DspexError(
            f"the program dspex is neither beside {sys.executable} nor on PATH. Install it for this interpreter "
            f"({sys.executable} -m pip install dspex), or set {VARIABLE} to where it is",
            code="FAILED_PRECONDITION",
            reason=NOT_FOUND,
        )
    return found


class ClientProcess:
    """A running `dspex client`, with one end of a socket pair as its stdin."""

    def __init__(self) -> None:
        self.program = find()
        self.socket, theirs = socket.socketpair()
        with theirs:
            try:
                # A session of its own: Ctrl-C in the terminal is for the driver, which then still needs the client.
                self._process = subprocess.Popen(
                    [self.program, "client"],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                self.socket.close()
                raise DspexError(
                    f"{self.program} could not be started: {error.strerror}. Check {VARIABLE} and the installation",
                    code="FAILED_PRECONDITION",
                    reason=NOT_FOUND,
                ) from error
        self._tail = bytearray()
        self._reader = threading.Thread(target=self._read_errors, name="dspex-client-errors", daemon=True)
        self._reader.start()

    def _read_errors(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        while data := os.read(stream.fileno(), 1 << 16):
            self._tail += data
            del self._tail[:-_TAIL_BYTES]

    def epitaph(self) -> str:
        """How it ended, and its last words. To be called when its socket has ended."""
        try:
            code = self._process.wait(_PATIENCE_SECONDS)
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        except subprocess.TimeoutExpired:
            how = "closed its connection"
        self._reader.join(_PATIENCE_SECONDS)
        said = self._tail.decode("utf-8", "replace").strip()
        return f"the client process ({self.program} client) {how}" + (f": {said}" if said else "")

    def forget(self) -> None:
        """In a fork of the driver: the process and its socket are the parent's."""
        self.socket.close()
        self._process.returncode = 0  # Not ours to wait for.
