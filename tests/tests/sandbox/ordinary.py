"""What ordinary programs do, which the sandbox lets them do."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
import tempfile
import termios
import threading
import urllib.request
from pathlib import Path

import dspex
import dspy


class Program(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        return self.answer(question=question)


program = Program()


class Model(dspy.BaseLM):
    def __init__(self) -> None:
        super().__init__(model="ordinary/model", cache=False)

    def forward(self, prompt: object = None, messages: object = None, **_: object) -> object:
        from types import SimpleNamespace

        message = SimpleNamespace(content="[[ ## answer ## ]]\nFour\n\n[[ ## completed ## ]]", tool_calls=None)
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason="stop")], usage=usage, model="m")


@dspex.command
def predict(question: str) -> str:
    with dspy.context(lm=Model()):
        return str(program(question=question).answer)


@dspex.command
def compute() -> float:
    import numpy

    return float(numpy.linalg.norm(numpy.arange(100.0)))


@dspex.command
def tabulate() -> int:
    import pandas

    place = os.path.join(tempfile.mkdtemp(), "table.csv")
    pandas.DataFrame({"n": [1, 2, 3]}).to_csv(place)
    return int(pandas.read_csv(place)["n"].sum())


@dspex.command
def ask_model(base: str) -> str:
    """By litellm, and its cache on the disk."""
    with dspy.context(lm=dspy.LM("openai/m", api_base=base, api_key="none", cache=True)):
        return str(program(question="2 + 2?").answer)


@dspex.command
def use_processes() -> int:
    import multiprocessing

    here, there = multiprocessing.Pipe()
    other = multiprocessing.get_context("fork").Process(target=lambda: there.send(6 * 7))
    other.start()
    answer = int(here.recv())
    other.join()
    return answer


@dspex.command
def read_beside_program(name: str) -> str:
    return Path(name).read_text() + (Path(__file__).parent / name).read_text()


@dspex.command
def use_temporary_files() -> bool:
    with tempfile.TemporaryDirectory() as directory, tempfile.NamedTemporaryFile("w", dir=directory) as file:
        file.write("x")
        file.flush()
        copy = shutil.copy2(file.name, os.path.join(directory, "copy"))
        os.chmod(copy, 0o400)
        os.utime(copy, (1, 1))
        renamed = shutil.move(copy, os.path.join(directory, "inner"))
        found = os.stat(renamed)
        return (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o400, 1.0)


@dspex.command
def where() -> dict[str, str]:
    return {"home": str(Path.home()), "temporary": tempfile.gettempdir(), "current": os.getcwd()}


@dspex.command
def use_git() -> str:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
        told = subprocess.run(["git", *identity, *arguments], cwd=place, check=True, capture_output=True, text=True)
        return told.stdout

    place = tempfile.mkdtemp()
    git("init", "origin")
    Path(place, "origin", "file").write_text("x")
    git("-C", "origin", "add", "file")
    git("-C", "origin", "commit", "-m", "first")
    git("clone", "origin", "copy")
    return git("-C", "copy", "log", "--format=%s").strip()


@dspex.command
def run_python() -> int:
    code = "import json, ssl, threading; print(json.dumps(6 * 7))"
    return int(json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout))


@dspex.command
def run_shell() -> str:
    return subprocess.run("echo a | tr a b", shell=True, check=True, capture_output=True, text=True).stdout.strip()


@dspex.command
def use_threads(count: int) -> int:
    results: list[int] = []
    threads = [threading.Thread(target=results.append, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(results)


@dspex.command
def use_database() -> int:
    with sqlite3.connect(Path.home() / "own.db") as database:
        database.execute("create table if not exists t (n)")
        database.execute("insert into t values (1)")
        return int(database.execute("select count(*) from t").fetchone()[0] > 0)


@dspex.command
def fetch(url: str, authority: str | None = None) -> str:
    context = ssl.create_default_context(cadata=authority) if authority else None
    with urllib.request.urlopen(url, timeout=20, context=context) as answer:
        return str(answer.read().decode())


@dspex.command
def fetch_asynchronously(host: str, port: int) -> str:
    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer

    return asyncio.run(ask()).decode().partition("\r\n\r\n")[2]


@dspex.command
def trust_the_system() -> bool:
    """Whether there are authorities depends on the machine; that they are read does not."""
    paths = ssl.get_default_verify_paths()
    file = paths.cafile or paths.openssl_cafile
    return not os.path.exists(file) or bool(Path(file).read_bytes())


@dspex.command
def resolve(name: str) -> bool:
    return bool(socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM))


@dspex.command
def talk_to_itself() -> str:
    """A socket of its own, between its own processes."""
    # A socket's path may have 107 bytes.
    path = os.path.join(tempfile.gettempdir(), "socket")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        connection, _ = server.accept()
        with connection:
            client.sendmsg([b"hello"])
            return connection.recv(5).decode()


@dspex.command
def ask_of_descriptors() -> list[object]:
    """By ioctl(2): how much there is to read, not to wait, if it is a terminal, to be closed at an exec. And a copy."""
    here, there = os.pipe()
    os.write(there, b"abc")
    waiting = int.from_bytes(fcntl.ioctl(here, termios.FIONREAD, b"\0" * 4), sys.byteorder)
    os.set_blocking(here, False)
    fcntl.ioctl(here, termios.FIOCLEX)
    told = [waiting, os.get_blocking(here), os.isatty(here), os.get_inheritable(here)]
    place = tempfile.mkdtemp()
    Path(place, "file").write_text("x")
    subprocess.run(["cp", "--reflink=auto", "file", "copy"], cwd=place, check=True)
    return [*told, Path(place, "copy").read_text()]


@dspex.command
def end_a_child() -> int:
    child = subprocess.Popen(["sleep", "60"])
    child.kill()
    return child.wait()


@dspex.command
def look_at_itself() -> bool:
    status = Path("/proc/self/status").read_text()
    return "Seccomp:\t2" in status and bool(os.listdir("/proc/self/fd")) and bool(os.cpu_count())
