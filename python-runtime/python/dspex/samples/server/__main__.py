"""`python -m dspex.samples.server`: listens, says where, and serves until it is told to stop."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import resource
import signal
import sys

from dspex.samples.server import arguments
from dspex.samples.server.connection import Connection
from dspex.samples.server.service import Service

# Clients come in bursts of hundreds: none should be turned away before it is heard.
_BACKLOG = 4096
_PARENT_SECONDS = 0.2


async def serve(given: arguments.Given) -> None:
    """Serves until a signal, or until the parent is gone."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    service = Service(given.settings)
    server = await loop.create_server(lambda: Connection(service, loop), given.host, given.port, backlog=_BACKLOG)
    host, port = server.sockets[0].getsockname()[:2]
    written = f"[{host}]" if ":" in host else host
    if not ipaddress.ip_address(host.partition("%")[0]).is_loopback and given.settings.key is None:
        print(f"{host} can be reached from outside, and any key is accepted; see --key-env", file=sys.stderr)
    print(json.dumps({"url": f"http://{written}:{port}/v1", "pid": os.getpid()}), flush=True)
    watching = loop.create_task(_parent_gone(given.parent, stop)) if given.parent is not None else None
    await stop.wait()
    if watching is not None:
        watching.cancel()
    server.close()


async def _parent_gone(parent: int, stop: asyncio.Event) -> None:
    """Asked again and again: the kernel's own signal (PR_SET_PDEATHSIG) comes when the thread ends that started us."""
    while os.getppid() == parent:
        await asyncio.sleep(_PARENT_SECONDS)
    stop.set()


def main() -> None:
    """The command."""
    given = arguments.parse()
    # One per client, and the usual 1,024 are few.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        # The limit stays as it is, and so does everything below it.
        pass
    try:
        asyncio.run(serve(given))
    except OSError as error:
        sys.exit(f"cannot listen on {given.host} port {given.port}: {error.strerror or error}; choose another --port")


if __name__ == "__main__":
    main()
