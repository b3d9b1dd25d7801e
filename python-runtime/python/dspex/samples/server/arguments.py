"""The command line of the server."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass

from dspex.samples import server
from dspex.samples.server.plan import Malformed, Plan
from dspex.samples.server.service import Settings


@dataclass(frozen=True)
class Given:
    """What was asked for."""

    host: str
    port: int
    # The process to end with.
    parent: int | None
    settings: Settings


def parse(written: Sequence[str] | None = None) -> Given:
    """Reads the arguments; ends the process with a message if they are wrong."""
    parser = _parser()
    given = parser.parse_args(written)
    try:
        plan = Plan(
            seed=given.seed,
            latency_ms=given.latency_ms,
            latency_sigma=given.latency_sigma,
            rate_429=given.rate_429,
            rate_500=given.rate_500,
            rate_hang=given.rate_hang,
            rate_malformed=given.rate_malformed,
            malformed_kinds=tuple(given.malformed or Malformed),
            faults_max=given.faults_max,
        )
    except ValueError as error:
        parser.error(str(error))
    key = None
    if given.key_env is not None:
        key = os.environ.get(given.key_env)
        if not key:
            parser.error(f"--key-env: the variable {given.key_env} is not set, or empty")
    settings = Settings(
        plan=plan,
        retry_after=given.retry_after,
        hang_seconds=given.hang_s,
        requests_per_minute=given.requests_per_minute,
        tokens_per_minute=given.tokens_per_minute,
        key=key,
    )
    return Given(given.host, given.port, os.getppid() if given.exit_with_parent else None, settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dspex.samples.server",
        description=server.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    listen = parser.add_argument_group("where it listens")
    listen.add_argument("--host", default="127.0.0.1", help="the address; by default only this machine (%(default)s)")
    listen.add_argument("--port", type=_port, default=0, help="the port; 0 chooses a free one (%(default)s)")
    listen.add_argument(
        "--key-env", metavar="NAME", help="require the key in this environment variable; otherwise any key will do"
    )
    listen.add_argument("--exit-with-parent", action="store_true", help="end when the process that started it does")
    latency = parser.add_argument_group("latency")
    latency.add_argument("--latency-ms", type=_amount, default=0.0, metavar="MEDIAN", help="of an answer (%(default)s)")
    latency.add_argument(
        "--latency-sigma", type=_amount, default=0.0, metavar="S", help="log-normal around the median; 0 is constant"
    )
    faults = parser.add_argument_group("faults", "Probabilities from 0 to 1 for each attempt, together at most 1.")
    faults.add_argument("--seed", type=int, default=0, help="another seed, another plan (%(default)s)")
    faults.add_argument(
        "--rate-429", type=_amount, default=0.0, metavar="P", help="too many requests, come again later"
    )
    faults.add_argument(
        "--retry-after", type=_amount, default=1.0, metavar="S", help="when to come again (%(default)s)"
    )
    faults.add_argument("--rate-500", type=_amount, default=0.0, metavar="P", help="an error of the server")
    faults.add_argument(
        "--rate-hang", type=_amount, default=0.0, metavar="P", help="no answer, then a closed connection"
    )
    faults.add_argument("--hang-s", type=_amount, default=150.0, metavar="S", help="how long a hang is (%(default)s)")
    faults.add_argument("--rate-malformed", type=_amount, default=0.0, metavar="P", help="status 200 and a bad body")
    faults.add_argument(
        "--malformed",
        type=Malformed,
        action="append",
        metavar="KIND",
        help=f"only this kind of bad body (may be repeated): {', '.join(kind.value for kind in Malformed)}",
    )
    faults.add_argument(
        "--faults-max",
        type=int,
        default=1,
        metavar="N",
        help="faults per request at most, so that retries succeed (%(default)s)",
    )
    limits = parser.add_argument_group("a real rate limit", "429 with Retry-After and x-ratelimit-* headers.")
    limits.add_argument("--requests-per-minute", type=_positive, metavar="N", help="of all clients together")
    limits.add_argument("--tokens-per-minute", type=_positive, metavar="N", help="of prompts and answers together")
    return parser


def _amount(written: str) -> float:
    value = float(written)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{written} is not a number from 0 on")
    return value


def _positive(written: str) -> float:
    value = _amount(written)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{written} is less than 1")
    return value


def _port(written: str) -> int:
    value = int(written)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{written} is no port")
    return value
