"""A Lease in memory that several electors share, and lines to it that can be cut."""

from __future__ import annotations

import asyncio
import dataclasses

from twinops.errors import Conflict, NotFound, Unavailable
from twinops.ports.kubernetes import LeaseRecord


class LeaseStore:
    """The Lease itself.

    Attributes:
        asked: the loop's time of each request that reached it.
    """

    def __init__(self) -> None:
        self.record: LeaseRecord | None = None
        self.asked: list[float] = []
        self._version = 0

    def put(self, record: LeaseRecord) -> LeaseRecord:
        self._version += 1
        self.record = dataclasses.replace(record, resource_version=str(self._version))
        return self.record


class LeaseLine:
    """One process's connection to the Lease.

    Attributes:
        cut: requests fail at once.
        hanging: requests never come back.
        deaf: writes arrive, their answers do not.
    """

    def __init__(self, store: LeaseStore) -> None:
        self.store = store
        self.cut = False
        self.hanging = False
        self.deaf = False

    async def get(self) -> LeaseRecord:
        await self._travel()
        if self.store.record is None:
            raise NotFound("no lease", status=404)
        return self.store.record

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        await self._travel()
        if self.store.record is not None:
            raise Conflict("exists", status=409)
        return await self._answer(self.store.put(record))

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        await self._travel()
        if self.store.record is None:
            raise NotFound("no lease", status=404)
        if self.store.record.resource_version != record.resource_version:
            raise Conflict("modified", status=409)
        return await self._answer(self.store.put(record))

    async def _travel(self) -> None:
        if self.hanging:
            await asyncio.sleep(3600)
        if self.cut:
            raise Unavailable("connection refused")
        await asyncio.sleep(0.01)
        self.store.asked.append(asyncio.get_running_loop().time())

    async def _answer(self, record: LeaseRecord) -> LeaseRecord:
        if self.deaf:
            await asyncio.sleep(3600)
        return record
