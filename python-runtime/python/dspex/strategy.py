"""Where an evaluation is executed: on this machine, by the embedded node, or by the cluster at the address.

The rule is that of `dspex eval`, and stands there: the client process is asked, before anything is submitted. Only what
needs nobody to be asked is said here.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from typing import Any

from dspex import client as clients
from dspex import fallbacks
from dspex.shipping import Shipment
from dspex.submission import Options

CHOICES = ("auto", "local", "distributed")
_AWAY = "cluster_unavailable"
log = logging.getLogger("dspex")


@dataclass(frozen=True)
class Place:
    """What was chosen, and why."""

    # "local" or "distributed".
    strategy: str
    # A word for programs, and a sentence.
    reason: str
    detail: str
    # Whether the embedded node has to be asked for in place of the one at the address.
    embedded: bool


def choose(options: Options, shipment: Shipment, examples: int, num_threads: int) -> Place:
    """Says what was chosen where there was a choice; a cluster that is away is warned of."""
    address = address_of(options)
    place = _settled(options.strategy, address)
    if place is None:
        place = Place(**clients.judge(options.address, _question(options, shipment, examples, num_threads)))
        _tell(place, address)
    return place


def address_of(options: Options) -> str | None:
    return options.address or os.environ.get("DSPEX_ADDRESS") or None


def _settled(strategy: str, address: str | None) -> Place | None:
    """What is certain without asking anybody."""
    if strategy == "local":
        return Place("local", "forced", "it was asked for", embedded=True)
    if strategy == "distributed":
        if not address or address.startswith("unix:"):
            why = "the address is the socket of an embedded node" if address else "no address was given"
            raise ValueError(
                f"strategy='distributed' needs a cluster, and {why}: name one of its nodes by address='HOST:PORT' or "
                "DSPEX_ADDRESS"
            )
        return Place("distributed", "forced", "it was asked for", embedded=False)
    if not address:
        return Place("local", "no_address", "no address of a cluster was given", embedded=False)
    return None


def _question(options: Options, shipment: Shipment, examples: int, num_threads: int) -> dict[str, Any]:
    return {
        "bound": _bound(options),
        "program": shipment.program_name,
        "metric": shipment.metric_name,
        "lm": shipment.lm,
        "dataset_digest": hashlib.sha256(shipment.rows).hexdigest(),
        "examples": examples,
        "num_threads": num_threads,
    }


def _bound(options: Options) -> str | None:
    """What is the business of the node at the address: the run stays there, or its environment is there."""
    if options.detach:
        return "detach=True"
    return None if options.environment is None else f"environment={options.environment!r}"


def _tell(place: Place, address: str | None) -> None:
    # What is to be: whether the cluster takes the run is known when it has answered.
    what = "executing on this machine" if place.strategy == "local" else f"asking the cluster at {address}"
    text = f"{what} ({place.strategy}): {place.detail}"
    if place.reason == _AWAY:
        fallbacks.warn(f"{text}. strategy='distributed' makes this an error")
    else:
        log.info(text)
