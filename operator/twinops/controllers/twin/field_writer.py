"""The requests that raise a field of another owner, and those that restore it."""

from __future__ import annotations

from twinops.api.twin.corrections import Original
from twinops.core.correction.ownership import others_of
from twinops.core.correction.records import CHANGED
from twinops.core.correction.restore import RestoreMethod, restore_plan
from twinops.core.lever import Lever, LeverValue
from twinops.errors import Conflict
from twinops.ports.kubernetes import Levers

_ATTEMPTS = 4
"""Writes in all: status updates change a Deployment's resourceVersion while it scales, a few times within a second."""


class FieldWriter:
    """Writes a lever's field, and restores it so that its former owner can apply it again.

    Args:
        levers: reads and writes HPAs and ``/scale``.
    """

    def __init__(self, levers: Levers) -> None:
        self._levers = levers

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
        for _ in range(_ATTEMPTS):
            try:
                return await self._levers.write(namespace, lever, value, force=force, annotation=annotation)
            except Conflict:
                lever = await self._levers.read(namespace, judged.object, judged.field)
                if _changed(judged, lever):
                    raise Conflict(CHANGED, status=409) from None
                # A copied object may have a copy of the annotation that another manager owns, too.
                force = bool(others_of(lever) or lever.original_annotation)
        raise Conflict(CHANGED, status=409)

    async def restore(self, namespace: str, judged: Lever, saved: Original) -> str:
        """Restore the field, and return in words what was done.

        Raises:
            ClusterError: the API server refused, or did not answer.
        """
        lever = judged
        for _ in range(_ATTEMPTS):
            try:
                return await self._restore_once(namespace, lever, saved)
            except Conflict:
                lever = await self._levers.read(namespace, judged.object, judged.field)
        raise Conflict(CHANGED, status=409)

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
