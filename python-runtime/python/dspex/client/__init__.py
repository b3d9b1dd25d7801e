"""The driver's connection to a node: through a `dspex client` process, which speaks gRPC for it."""

from dspex.client.connection import Client, Stream, ask, connect, judge

__all__ = ["Client", "Stream", "ask", "connect", "judge"]
