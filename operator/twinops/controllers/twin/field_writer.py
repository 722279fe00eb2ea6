"""The requests that raise a field of another owner, and those that restore it."""

from __future__ import annotations

from collections.abc import Iterator

from twinops.api.twin.corrections import Original
from twinops.core.correction.ownership import others_of
from twinops.core.correction.records import CHANGED
from twinops.core.correction.restore import RestoreMethod, restore_plan
from twinops.core.lever import Lever, LeverValue
from twinops.errors import Conflict
from twinops.ports.kubernetes import Levers
from twinops.ports.process import Clock

_PAUSES = (0.0, 0.1, 0.2, 0.4, 0.8)
"""Seconds before each further attempt after a conflict.

Each status update changes a Deployment's resourceVersion, and while it scales there are several within a second. The
first one does not wait: where another manager owns the field, a conflict is the expected answer.
"""


class FieldWriter:
    """Writes a lever's field, and restores it so that its former owner can apply it again.

    Args:
        levers: reads and writes HPAs and ``/scale``.
        clock: for the pauses after conflicts.
    """

    def __init__(self, levers: Levers, clock: Clock) -> None:
        self._levers = levers
        self._clock = clock

    async def raise_to(self, namespace: str, judged: Lever, value: LeverValue, annotation: str) -> Lever:
        """Set the field to ``value``, provided that value and owners are still those that were judged.

        The first attempt takes the field over from nobody. Where that is a conflict the guards have judged the other
        owner already, so the second attempt does.

        Args:
            namespace: of the lever.
            judged: the lever as judged.
            value: of the field.
            annotation: text of ``twinops.dev/original``, to be set with it.

        Raises:
            Conflict: somebody changed the field since it was judged.
            ClusterError: the API server refused, or did not answer.
        """
        lever, force = judged, False
        pauses = iter(_PAUSES)
        while True:
            try:
                return await self._levers.write(namespace, lever, value, force=force, annotation=annotation)
            except Conflict:
                lever = await self._read_again(namespace, judged, pauses)
                if _changed(judged, lever):
                    raise Conflict(CHANGED, status=409) from None
                # A copied object may have a copy of the annotation that another manager owns, too.
                force = bool(others_of(lever) or lever.original_annotation)

    async def restore(self, namespace: str, judged: Lever, saved: Original) -> str:
        """Restore the field, and return in words what was done.

        Raises:
            ClusterError: the API server refused, or did not answer.
        """
        lever, pauses = judged, iter(_PAUSES)
        while True:
            try:
                return await self._restore_once(namespace, lever, saved)
            except Conflict:
                lever = await self._read_again(namespace, judged, pauses)

    async def _read_again(self, namespace: str, judged: Lever, pauses: Iterator[float]) -> Lever:
        """Read the lever after a conflict, once the next pause is over.

        Raises:
            Conflict: there were as many attempts as there may be.
            ClusterError: the API server did not answer.
        """
        pause = next(pauses, None)
        if pause is None:
            raise Conflict(CHANGED, status=409)
        if pause:
            await self._clock.sleep(pause)
        return await self._levers.read(namespace, judged.object, judged.field)

    async def _restore_once(self, namespace: str, lever: Lever, saved: Original) -> str:
        plan = restore_plan(saved, lever)
        if plan.method is RestoreMethod.LEAVE or plan.value is None:
            if lever.original_annotation:
                await self._levers.remove_annotation(namespace, lever)
            return plan.message
        if plan.method is RestoreMethod.UPDATE_AS:
            await self._levers.update_as(namespace, lever, plan.value, manager=plan.manager)
        elif plan.method is RestoreMethod.HAND_OVER:
            await self._levers.hand_over(namespace, lever, manager=plan.manager)
        else:
            restored = await self._levers.write(namespace, lever, plan.value, force=True)
            if plan.method is RestoreMethod.APPLY_AND_HAND_OVER:
                # After a conflict here the next attempt plans again, and only this step is left then.
                await self._levers.hand_over(namespace, restored, manager=plan.manager)
        return plan.message


def _changed(judged: Lever, now: Lever) -> bool:
    """Tell whether anything that the decision rests on is different."""
    return (judged.uid, judged.value, judged.maximum, judged.owners, judged.controller) != (
        now.uid,
        now.value,
        now.maximum,
        now.owners,
        now.controller,
    )
