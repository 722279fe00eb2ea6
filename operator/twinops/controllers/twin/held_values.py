"""Reads the fields that a twin holds, as they are on the live objects."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from twinops.api.twin.corrections import Original
from twinops.core.correction.events import recovered_event
from twinops.core.correction.saved_annotation import recover
from twinops.core.correction.saved_values import find, key_of
from twinops.core.lever import Lever, LeverKey
from twinops.core.observation import Held
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
        saved_values: tuple[Original, ...],
        *,
        now: float,
        annotation: str | None,
        lever_unavailable: bool,
    ) -> tuple[Lever | None, Held]:
        """Return the lever and everything that is held, for an observation.

        Args:
            ref: the twin.
            lever: as it was found; None where there is none.
            saved_values: of the state before.
            now: Unix seconds.
            annotation: ``twinops.dev/original`` of the twin; None where another twin corrects or holds the lever, so
                that nothing may be recovered.
            lever_unavailable: whether the API server has not answered for the lever for several syncs: then the refusal
                is part of the observation, else it is an error.

        Raises:
            ClusterError: the API server did not answer.
            SpecError: the lever cannot be read again because of the spec.
        """
        try:
            found, recovered = await self._recover(ref, lever, saved_values, annotation, now)
            listed = saved_values if recovered is None else (*saved_values, recovered)
            levers, unread = await self.read(ref, listed, known=found)
        except Refused as error:
            return lever, Held(refusal=refusal(str(error), error.status))
        except Unavailable as error:
            if not lever_unavailable:
                raise
            return lever, Held(refusal=refusal(str(error), error.status))
        return found, Held(levers, unread, recovered)

    async def read(
        self, ref: TwinRef, saved_values: Iterable[Original], *, known: Lever | None
    ) -> tuple[dict[LeverKey, Lever], frozenset[LeverKey]]:
        """Read every field that the twin holds: what there is, and what may not be read. A deleted one is in neither.

        Raises:
            Unavailable: the API server did not answer.
        """
        levers = {} if known is None else {known.key: known}
        unread: set[LeverKey] = set()
        for saved in saved_values:
            key = key_of(saved)
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

    async def _recover(
        self, ref: TwinRef, lever: Lever | None, saved_values: Iterable[Original], annotation: str | None, now: float
    ) -> tuple[Lever | None, Original | None]:
        """Return the lever, and its saved value where the state has lost it, else None."""
        if lever is None or annotation is None or find(saved_values, lever.key) is not None:
            return lever, None
        if recover(lever, annotation, now) is None:
            return lever, None
        # This is rare, and the watched object may be older than the status: read it again.
        lever = await self._levers.read(ref.namespace, lever.object, lever.field)
        saved = recover(lever, annotation, now)
        if saved is not None:
            message = recovered_event(saved).message
            log.info("taken up", namespace=ref.namespace, twin=ref.name, message=message)
        return lever, saved
