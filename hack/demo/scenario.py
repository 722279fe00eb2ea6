"""Every figure of the story, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from demo.load.profile import Segment

TWINNED = "shop"
"""Namespace of the shop that has a twin."""

PLAIN = "shop-plain"
"""Namespace of the same shop without one."""

NAMESPACES = (TWINNED, PLAIN)

APP = "shop"
"""Name of the Deployment, its HPA and the twin in either namespace."""

VERSION = "1.8.2"

SYNC_SECONDS = 5
SCRAPE_SECONDS = 2

CLIENT_TIMEOUT_SECONDS = 2.0
"""After this time a customer gives up; the request counts as failed."""

LATENCY_LIMIT_MS = 400
"""What the shop promises its customers, for the 95th percentile."""

CPU_LIMIT_PERCENT = 85


@dataclass(frozen=True, slots=True)
class PodShape:
    """What one pod of the shop can do.

    Attributes:
        slots: requests it works on at a time; more wait.
        mean_seconds: mean service time of a request.
        spread: service times lie evenly between mean x (1 - spread) and mean x (1 + spread).
        max_waiting: with so many waiting, further requests are refused with 503.
        cpu_millicores: CPU it uses with all slots busy; also its request and its limit.
        memory_mebibytes: memory it uses, half of its limit.
        start_seconds: time from its creation until it is ready: a node, an image, a warm-up.
    """

    slots: int = 2
    mean_seconds: float = 0.1
    spread: float = 0.5
    max_waiting: int = 20
    cpu_millicores: int = 200
    memory_mebibytes: int = 128
    start_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """The HPA of either shop.

    Attributes:
        minimum: minReplicas.
        maximum: maxReplicas.
        cpu_percent: target utilisation of the CPU request.
    """

    minimum: int = 3
    maximum: int = 15
    cpu_percent: int = 60


POD = PodShape()
AUTOSCALER = Autoscaler()

BASE_RATE = 20.0
"""Requests/s on an ordinary day at this hour."""

PEAK_RATE = 140.0

CLIMB = (Segment(seconds=85, to=44), Segment(seconds=50, to=PEAK_RATE))
"""Word gets round, then everybody comes."""

COMFORTABLE_RATE = 12.0
"""What one pod carries without queueing, requests/s: the load at which the HPA, too, is content."""

HORIZONS_SECONDS = (90, 180)
"""A pod takes 20 s to start; looking a few times as far ahead leaves time to act."""

SEED = 7
