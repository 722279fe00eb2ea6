"""The story, as data: add a stage to `STAGES` to tell more of it.

The deadlines of all stages together must fit into `story.LONGEST_SECONDS`.
"""

from __future__ import annotations

from demo import manifests, scenario
from demo.stage import Play, Stage, StoryFailed
from demo.twin import Twin

CPU, LATENCY, THROUGHPUT = "cpuUsage", "latencyMs", "throughputRps"
LIMITS = {CPU: float(scenario.CPU_LIMIT_PERCENT), LATENCY: float(scenario.LATENCY_LIMIT_MS)}

HEALTHY_SCORE = 90
NEW_VERSION = "1.9.0-rc1"

_HPA = f"/apis/autoscaling/v2/namespaces/{scenario.TWINNED}/horizontalpodautoscalers/{scenario.APP}"
_TWINS = ("get", "digitaltwins", "-n", scenario.TWINNED)
_THE_TWIN = ("get", "dt", scenario.APP, "-n", scenario.TWINNED)
_HPAS = ("get", "hpa", "-A")


def _create_twin(play: Play) -> None:
    play.world.apply(manifests.twin())


def _is_healthy(_play: Play, twin: Twin) -> str:
    foresees = twin.foreseen(THROUGHPUT) is not None
    well = twin.condition("Ready") == "True" and (twin.health or 0) >= HEALTHY_SCORE
    settled = (twin.observed(THROUGHPUT) or 0) > 0.9 * scenario.BASE_RATE and not twin.alerts and not twin.risks
    return f"health {twin.health}, and it foresees the next three minutes" if well and foresees and settled else ""


def _begin_climb(play: Play) -> None:
    play.climb_began = play.world.load_time()


def _sees_climb(_play: Play, twin: Twin) -> str:
    rate = twin.observed(THROUGHPUT)
    return f"the twin sees {rate:.0f} requests/s" if rate and rate > 1.2 * scenario.BASE_RATE else ""


def _foresees_risk(play: Play, twin: Twin) -> str:
    crossed = [
        f"{metric} is at {value:.0f} already (limit {limit:g})"
        for metric, limit in LIMITS.items()
        if (value := twin.observed(metric)) is not None and value >= limit
    ]
    crossed += [risk["message"] for risk in twin.risks if risk.get("current")]
    risks = [risk["message"] for risk in twin.risks]
    if not risks:
        if crossed:
            raise StoryFailed(f"no risk was foreseen before the limit: {'; '.join(crossed)}")
        return ""
    if crossed:
        raise StoryFailed(f"the risk was told only after the limit was crossed: {'; '.join(crossed)}")
    at = play.mark("risk foreseen")
    return f"{at:.0f} s into the climb, with CPU at {twin.observed(CPU):.0f}%: {'; '.join(risks)}"


def _is_corrected(play: Play, twin: Twin) -> str:
    raised = twin.raises()
    autoscaler = play.world.get(_HPA)
    minimum = autoscaler.get("spec", {}).get("minReplicas", 0)
    owners = {entry["manager"] for entry in autoscaler.get("metadata", {}).get("managedFields", [])}
    if not raised or minimum <= scenario.AUTOSCALER.minimum or "twinops" not in owners:
        return ""
    at = play.mark("HPA raised")
    return f"{at:.0f} s into the climb, minReplicas {scenario.AUTOSCALER.minimum} -> {minimum}: {raised[-1]['why']}"


def _is_healthy_at_peak(play: Play, twin: Twin) -> str:
    climbed = play.world.load_time() - play.climb_began > sum(segment.seconds for segment in scenario.CLIMB)
    rate = twin.observed(THROUGHPUT) or 0
    well = twin.condition("Healthy") == "True" and (twin.health or 0) >= HEALTHY_SCORE
    pressing = any(risk.get("persistent") or risk.get("current") for risk in twin.risks)
    if not (climbed and well and not pressing and rate > 0.9 * scenario.PEAK_RATE):
        return ""
    play.mark("healthy at the peak")
    return f"health {twin.health} at {rate:.0f} requests/s, with {twin.status.get('replicas')} replicas"


def _ship_surprise(play: Play) -> None:
    label = f"app.kubernetes.io/version={NEW_VERSION}"
    play.world.cluster.kubectl("label", "deployment", scenario.APP, "-n", scenario.TWINNED, label, "--overwrite")


def _explains_drift(_play: Play, twin: Twin) -> str:
    for alert in twin.alerts:
        if alert["component"] == "version":
            return str(alert["recommendation"])
    return ""


def _is_measured(play: Play, _twin: Twin) -> str:
    # What was sent last is still under way.
    end = play.world.load_time() - scenario.CLIENT_TIMEOUT_SECONDS
    play.report = play.world.report(play.climb_began, end)
    return "both shops, since the climb began"


_ALERTS = (
    "{range .status.drift.alerts[*]}{.component}: {.severity}, {.direction} (expected {.expected}, actual {.actual})"
    '{"\\n  "}{.recommendation}{"\\n  eligible: "}{.eligible} {.notEligibleReason}{"\\n"}{end}'
)
_DECISIONS = (
    "{range .status.corrections[*]}{.time} {.object.kind} {.field} {.from} -> {.to} ({.outcome})"
    '{"\\n  "}{.why}{"\\n"}{end}'
)

STAGES = (
    Stage(
        name="healthy",
        title="An ordinary Monday: the shop gets its twin",
        act=_create_twin,
        until=_is_healthy,
        within=60,
        hint="see operator.log, and kubectl describe digitaltwin -n shop shop",
        commands=(_TWINS,),
    ),
    Stage(
        name="load climbs",
        title=f"Word gets round: {scenario.BASE_RATE:g} -> {scenario.PEAK_RATE:g} requests/s for both shops",
        load=scenario.CLIMB,
        act=_begin_climb,
        until=_sees_climb,
        within=40,
        hint="see load.log and shop.log; is throughputRps among status.observed?",
    ),
    Stage(
        name="risk predicted",
        title="The twin foresees trouble while everything is still well",
        until=_foresees_risk,
        within=60,
        hint="see status.predictions and status.risks of the twin, and operator.log",
        commands=(_TWINS,),
    ),
    Stage(
        name="corrected",
        title="It raises the HPA's minReplicas, before the HPA itself can know",
        until=_is_corrected,
        within=40,
        hint="see status.corrections and the condition CorrectionBlocked of the twin, and operator.log",
        commands=(_HPAS,),
    ),
    Stage(
        name="healthy again",
        title="The rush comes; the pods are there already",
        until=_is_healthy_at_peak,
        within=190,
        hint="see status.health.components of the twin",
        commands=(_TWINS, (*_THE_TWIN, "-o", f"jsonpath={_DECISIONS}")),
    ),
    Stage(
        name="drift explained",
        title=f"In the midst of it somebody ships {NEW_VERSION}, which nobody expected",
        act=_ship_surprise,
        until=_explains_drift,
        within=30,
        hint="see status.drift.alerts of the twin",
        commands=(_TWINS, (*_THE_TWIN, "-o", f"jsonpath={_ALERTS}")),
    ),
    Stage(
        name="side by side",
        title="What the customers of the two shops experienced",
        until=_is_measured,
        within=10,
        hint="see load.log",
        commands=(_HPAS,),
    ),
)
