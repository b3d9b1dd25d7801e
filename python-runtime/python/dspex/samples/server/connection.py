"""One client's connection. No thread and no task: a request that waits is a timer, so that thousands may wait."""

from __future__ import annotations

import asyncio

from dspex.samples.server.errors import ApiError
from dspex.samples.server.http import BODY_BYTES_MAX, HEAD_BYTES_MAX, Parser
from dspex.samples.server.service import Reply, Service

# How long a client that was refused may go on sending: closed at once, it would see a reset and not the refusal.
_LINGER_SECONDS = 5.0


class Connection(asyncio.Protocol):
    """Answers requests one after another, in their order."""

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._parser = Parser()
        self._transport: asyncio.Transport | None = None
        self._waiting: tuple[Reply, asyncio.TimerHandle] | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._blocked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._lingering is not None:
            return
        self._parser.feed(data)
        # Reading goes on while a request waits, or a client that leaves would go unnoticed; but not without end.
        if self._parser.buffered > 2 * (HEAD_BYTES_MAX + BODY_BYTES_MAX):
            self._close()
        else:
            self._continue()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
        if self._waiting is not None:
            reply, timer = self._waiting
            timer.cancel()
            self._waiting = None
            self._service.finish(reply, sent=False)
        self._transport = None

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self._continue()

    def _ready(self) -> bool:
        if self._transport is None or self._transport.is_closing():
            return False
        return self._waiting is None and self._lingering is None and not self._blocked

    def _continue(self) -> None:
        while self._ready():
            assert self._transport is not None
            try:
                request = self._parser.next()
            except ApiError as error:
                self._refuse(error)
                return
            if request is None:
                if self._parser.wants_continue():
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            reply = self._service.handle(request)
            if reply.delay_seconds > 0:
                self._waiting = (reply, self._loop.call_later(reply.delay_seconds, self._waited))
            else:
                self._send(reply)

    def _waited(self) -> None:
        assert self._waiting is not None
        reply, _ = self._waiting
        self._waiting = None
        self._send(reply)
        self._continue()

    def _send(self, reply: Reply) -> None:
        assert self._transport is not None
        self._service.finish(reply, sent=True)
        if reply.encoded:
            self._transport.write(reply.encoded)
        if not reply.keep_alive:
            self._transport.close()

    def _refuse(self, error: ApiError) -> None:
        assert self._transport is not None
        reply = self._service.refuse(error)
        self._service.finish(reply, sent=True)
        self._transport.write(reply.encoded)
        self._lingering = self._loop.call_later(_LINGER_SECONDS, self._close)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
