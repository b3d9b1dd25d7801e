"""DSPex and its peers behind one interface: start workers, give them calls, say which processes there are."""

from __future__ import annotations

from harness.systems.base import System


def named(name: str, workers: int, work: str) -> System:
    """Imported when it is needed: no system's memory contains another."""
    if name == "dspex":
        from harness.systems.dspex_pool import DspexPool

        return DspexPool(workers, work)
    if name.startswith("processes"):
        from harness.systems.processes import Processes

        return Processes(workers, work, *name.split("-")[1:])
    if name == "mp_pool":
        from harness.systems.mp_pool import MpPool

        return MpPool(workers, work)
    if name == "ray_tasks":
        from harness.systems.ray_system import RayTasks

        return RayTasks(workers, work)
    from harness.systems.ray_system import RayActors

    return RayActors(workers, work)
