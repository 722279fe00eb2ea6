"""Reads the fields that a twin holds, as they are on the live objects."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from twinops.api.twin.corrections import Original
from twinops.core.correction.bounds import original_of
from twinops.core.correction.events import taken_up
from twinops.core.correction.original_annotation import recovered
from twinops.core.observation import Held, Lever, LeverKey
from twinops.core.rights import refusal
from twinops.errors import NotFound, Refused, SpecError, Unavailable
from twinops.ports.kubernetes import Levers, TwinRef

log = structlog.get_logger()


class HeldValues:
    """Reads what twins hold.

    Args:
        levers: reads HPAs and ``/scale``.
    """

    def __init__(self, levers: Levers) -> None:
        self._levers = levers

    async def gather(
        self,
        ref: TwinRef,
        lever: Lever | None,
        originals: tuple[Original, ...],
        *,
        now: float,
        annotation: str | None,
        lever_unavailable: bool,
    ) -> tuple[Lever | None, Held]:
        """Return the lever and everything that is held, for an observation.

        Args:
            ref: the twin.
            lever: as it was found; None where there is none.
            originals: of the state before.
            now: Unix seconds.
            annotation: ``twinops.dev/original`` of the twin; None where another twin corrects or holds the lever, so
                that nothing may be taken up.
            lever_unavailable: whether the API server did not answer for the lever either, and for long: then it is
                observed that nothing can be read, else it is an error.

        Raises:
            ClusterError: the API server did not answer.
            SpecError: what stands beside the lever cannot be read because of the spec.
        """
        try:
            found, original = await self._take_up(ref, lever, originals, annotation, now)
            listed = originals if original is None else (*originals, original)
            levers, unread = await self.read(ref, listed, known=found)
        except Refused as error:
            return lever, Held(refusal=refusal(str(error), error.status))
        except Unavailable as error:
            if not lever_unavailable:
                raise
            return lever, Held(refusal=refusal(str(error), error.status))
        return found, Held(levers, unread, original)

    async def read(
        self, ref: TwinRef, originals: Iterable[Original], *, known: Lever | None
    ) -> tuple[dict[LeverKey, Lever], frozenset[LeverKey]]:
        """Read everything the twin holds: what is there, and what may not be read. What is gone is in neither.

        Raises:
            Unavailable: the API server did not answer.
        """
        levers = {} if known is None else {known.key: known}
        unread: set[LeverKey] = set()
        for original in originals:
            key = (original.object, original.field)
            if key in levers:
                continue
            try:
                levers[key] = await self._levers.read(ref.namespace, *key)
            except Refused as error:
                log.warning("held value not read", namespace=ref.namespace, twin=ref.name, error=str(error))
                unread.add(key)
            except (NotFound, SpecError):
                continue
        return levers, frozenset(unread)

    async def _take_up(
        self, ref: TwinRef, lever: Lever | None, originals: Iterable[Original], annotation: str | None, now: float
    ) -> tuple[Lever | None, Original | None]:
        """Return the lever, and the original of a raised value that the state does not list, None where it lists it."""
        if lever is None or annotation is None or original_of(originals, lever) is not None:
            return lever, None
        if recovered(lever, annotation, now) is None:
            return lever, None
        # It is rare, and what was seen may be older than what status says.
        lever = await self._levers.read(ref.namespace, lever.object, lever.field)
        original = recovered(lever, annotation, now)
        if original is not None:
            message = taken_up(original).message
            log.info("taken up", namespace=ref.namespace, twin=ref.name, message=message)
        return lever, original
