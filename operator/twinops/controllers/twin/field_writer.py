"""The few requests that change somebody's field, and those that give it back."""

from __future__ import annotations

from twinops.api.twin.corrections import Original
from twinops.core.correction.ownership import others_of
from twinops.core.correction.records import CHANGED
from twinops.core.correction.restore import Way, way_back
from twinops.core.observation import Lever
from twinops.errors import Conflict
from twinops.ports.kubernetes import Levers

_ATTEMPTS = 4
"""A Deployment's own status moves its resourceVersion while it scales; a few fresh reads outlast that."""


class FieldWriter:
    """Writes a lever's field, and gives it back the way its former owner can live with.

    Args:
        levers: reads and writes HPAs and ``/scale``.
    """

    def __init__(self, levers: Levers) -> None:
        self._levers = levers

    async def raise_to(self, namespace: str, judged: Lever, value: int, witness: str) -> Lever:
        """Set the field to ``value``, provided that value and owners are still those that were judged.

        The first attempt never takes anything over. When another owner is in the way the guards have
        judged it already, so the second one does.

        Args:
            namespace: of the lever.
            judged: the lever as judged.
            value: of the field.
            witness: its original, to stand beside it.

        Raises:
            Conflict: somebody changed the field since it was judged.
            ClusterError: the API server refused, or did not answer.
        """
        lever, force = judged, False
        for _ in range(_ATTEMPTS):
            try:
                return await self._levers.write(namespace, lever, value, force=force, witness=witness)
            except Conflict:
                lever = await self._levers.read(namespace, judged.object, judged.field)
                if _changed(judged, lever):
                    raise Conflict(CHANGED, status=409) from None
                # A copied object may hold somebody else's copy of the annotation, too.
                force = bool(others_of(lever) or lever.witness)
        raise Conflict(CHANGED, status=409)

    async def give_back(self, namespace: str, judged: Lever, original: Original) -> str:
        """Give the field back, and return in words what happened.

        Raises:
            ClusterError: the API server refused, or did not answer.
        """
        lever = judged
        for _ in range(_ATTEMPTS):
            try:
                return await self._once(namespace, lever, original)
            except Conflict:
                lever = await self._levers.read(namespace, judged.object, judged.field)
        raise Conflict(CHANGED, status=409)

    async def _once(self, namespace: str, lever: Lever, original: Original) -> str:
        back = way_back(original, lever)
        if back.way is Way.LEAVE or back.value is None:
            if lever.witness:
                await self._levers.forget(namespace, lever)
            return back.message
        if back.way is Way.UPDATE_AS:
            await self._levers.update_as(namespace, lever, back.value, manager=back.manager)
        elif back.way is Way.HAND_OVER:
            await self._levers.hand_over(namespace, lever, manager=back.manager)
        else:
            restored = await self._levers.write(namespace, lever, back.value, force=True)
            if back.way is Way.APPLY_AND_HAND_OVER:
                # After a conflict here the way back is judged anew: only this step is left of it then.
                await self._levers.hand_over(namespace, restored, manager=back.manager)
        return back.message


def _changed(judged: Lever, now: Lever) -> bool:
    """Tell whether anything that the decision rests on is different."""
    return (judged.uid, judged.value, judged.maximum, judged.owners, judged.controller) != (
        now.uid,
        now.value,
        now.maximum,
        now.owners,
        now.controller,
    )
