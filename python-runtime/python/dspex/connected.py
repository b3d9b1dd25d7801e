"""`dspex.connect`: a node, for as long as a Python program wants it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from dspex import pool_stats, session
from dspex.arguments import ADDRESS, text
from dspex.calls import Calls
from dspex.client import caller, connection
from dspex.errors import DspexError
from dspex.executions import Executions
from dspex.pool import Pool, forget_streams
from dspex.pool_stats import PoolStats
from dspex.programs import Programs
from dspex.session import Session, SessionState, SessionStats
from dspex.variables import Variables


class Client:
    """A node. Safe to use from any thread; when the node or the way to it ends, the next call connects again.

    `with dspex.connect() as client:` closes it at the end. The node goes on; it belongs to everybody.
    """

    def __init__(self, address: str | None, token_file: str | None, ca: str | None = None) -> None:
        """Clients are made by `connect`."""
        self._address = address
        self._token_file = token_file
        self._ca = ca
        self._pools: dict[str, Pool] = {}
        self._callers: dict[str, dict[str, Any]] = {}
        self._is_closed = False
        self._programs = Programs(self._ask)
        self._variables = Variables(self._ask)
        self._connection()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<dspex client of {self._address or 'the embedded node'}>"

    @property
    def address(self) -> str:
        """Where the node is: HOST:PORT or unix:PATH."""
        return self._connection().address

    def pool(self, name: str = "general") -> Pool:
        """A pool of the node: "general", "optimizer" or "inference". It begins with the first call.

        Its workers have this process's Python, directory and environment, unless the node has its own.
        """
        self._check_open()
        name = text("the name of a pool", name, '"general", "optimizer" or "inference"')
        return self._pools.setdefault(name, Pool(name, self._open_stream, self._stats_of))

    @property
    def programs(self) -> Programs:
        """Programs that are stored on the cluster."""
        return self._programs

    @property
    def variables(self) -> Variables:
        """Variables of the cluster."""
        return self._variables

    def pools(self) -> list[PoolStats]:
        """All pools of the node that have been called, whoever called them."""
        return pool_stats.read(self._ask("pools.stats", {"pool": ""})["items"])

    def create_session(
        self,
        session_id: str | None = None,
        data: Mapping[str, Any] | None = None,
        *,
        ttl: float | None = None,
        timeout: float = 60.0,
    ) -> Session:
        """Make a session with these values; without an id it gets a new one.

        ttl: seconds that it lives after each write; None: until it is deleted.
        timeout: seconds for which the request is sent again while its outcome is not known.
        Raises `SessionExists` where the id is taken.
        """
        return self.session(session.create(self._session, session_id, data, ttl, timeout))

    def session(self, session_id: str) -> Session:
        """A session by its id. Nothing is asked yet: the first method that is called finds out whether it exists."""
        self._check_open()
        return Session(session_id, self._session, self._programs)

    def sessions(self, prefix: str = "", *, stale: bool = False) -> Iterator[SessionState]:
        """All sessions whose ids begin like this, in the order of their ids, without their data."""
        return session.listed(self._session, text("the beginning of ids", prefix, '"user-"'), bool(stale))

    @property
    def executions(self) -> Executions:
        """What the programs and commands of the cluster were given and gave."""
        return Executions(self._ask)

    def session_stats(self, *, stale: bool = False) -> SessionStats:
        """How many sessions there are, what they take, and for how many each node executes."""
        return session.stats(self._session, bool(stale))

    def close(self) -> None:
        """Calls under way end with an error."""
        self._is_closed = True
        for pool in list(self._pools.values()):
            pool.close()

    def _stats_of(self, pool: str) -> PoolStats:
        items = pool_stats.read(self._ask("pools.stats", {"pool": pool})["items"])
        # Whose workers its calls get: this process may have changed its directory since.
        own = self._callers.get(pool) or caller.caller()
        return pool_stats.total(pool, pool_stats.of(items, own["interpreter"], own["directory"]))

    def _open_stream(self, pool: str, lost: bool) -> Calls:
        """`lost`: a stream ended before, so whether the node is there must be known before it gets another call."""
        if lost:
            self._ask("pools.stats", {"pool": ""})
        own = self._callers[pool] = caller.caller()
        return Calls(self._connection(), pool, own)

    def _ask(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        """A request that may be repeated."""
        self._check_open()
        return connection.ask(self._address, self._token_file, lambda client: client.call(method, body), self._ca)

    def _session(self, order: dict[str, Any], calls: bool) -> dict[str, Any]:
        """A request about a session. A write carries its id with it, so it may be sent again as well."""
        self._check_open()

        def send(client: connection.Client) -> dict[str, Any]:
            own = {"caller": caller.caller() if client.embedded else None} if calls else {}
            return client.call("sessions", {**order, **own})

        return connection.ask(self._address, self._token_file, send, self._ca)

    def _connection(self) -> connection.Client:
        self._check_open()
        return connection.connect(self._address, self._token_file, self._ca)

    def _check_open(self) -> None:
        if self._is_closed:
            raise DspexError("the client is closed: connect again", code="FAILED_PRECONDITION", reason="CLOSED")


def connect(
    address: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    ca: str | os.PathLike[str] | None = None,
) -> Client:
    """Connect to a node: the one at this address ("HOST:PORT" or "unix:PATH"), else at DSPEX_ADDRESS, else the embedded
    node of this user, which is started when it does not run.

    token_file: a file with the node's token; by default DSPEX_TOKEN_FILE, or what a node on this machine left for its
    user.
    ca: a file with the certificate of the authority that signed the node's own; by default DSPEX_CA. With one the way
    to the node is TLS. A node on another machine needs it.
    """
    address = None if address is None else text("address", address, ADDRESS)
    return Client(address, _path(token_file), _path(ca))


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fsdecode(path)


os.register_at_fork(after_in_child=forget_streams)
