"""Status writers of both kinds, with a throttle of their own and no lease to lose."""

from __future__ import annotations

from collections.abc import Callable

from twinops.controllers.shared.status_writer import StatusWriter
from twinops.controllers.shared.write_throttle import WriteThrottle
from twinops.controllers.source.checks import SOURCE_STATUS
from twinops.controllers.twin.publish import TWIN_STATUS
from twinops.ports.kubernetes import SourceRef, StatusClient, TwinRef
from twinops.ports.process import Clock, Telemetry


def leading() -> None:
    """Stand in for the fence of a process that leads."""


def twin_writer(
    twins: StatusClient[TwinRef], clock: Clock, telemetry: Telemetry, fence: Callable[[], None] = leading
) -> StatusWriter[TwinRef]:
    return StatusWriter(TWIN_STATUS, twins, WriteThrottle(clock), clock, telemetry, fence=fence)


def source_writer(
    sources: StatusClient[SourceRef], clock: Clock, telemetry: Telemetry, fence: Callable[[], None] = leading
) -> StatusWriter[SourceRef]:
    return StatusWriter(SOURCE_STATUS, sources, WriteThrottle(clock), clock, telemetry, fence=fence)
