"""Whether the shop with a twin was clearly better off."""

from __future__ import annotations

from demo import scenario
from demo.load.measure import Summary

LEAST_SECONDS_SAVED = 10
"""So many seconds over the latency limit must have been spared."""

LARGEST_SHARE = 0.5
"""At most this share of the plain shop's seconds over the limit may remain."""


def shortcomings(twinned: Summary, plain: Summary) -> list[str]:
    """Return why the shop with a twin was not clearly better off, nothing if it was.

    A climb that did not hurt the plain shop proves nothing, so that counts as a shortcoming too.
    """
    found = []
    if plain.seconds_over - twinned.seconds_over < LEAST_SECONDS_SAVED:
        found.append(
            f"{twinned.seconds_over} s over {scenario.LATENCY_LIMIT_MS} ms with a twin, {plain.seconds_over} s "
            f"without one: fewer than {LEAST_SECONDS_SAVED} s were saved"
        )
    elif twinned.seconds_over > LARGEST_SHARE * plain.seconds_over:
        found.append(
            f"{twinned.seconds_over} s over {scenario.LATENCY_LIMIT_MS} ms with a twin are more than "
            f"{LARGEST_SHARE:.0%} of the {plain.seconds_over} s without one"
        )
    if twinned.p95_ms >= plain.p95_ms:
        found.append(f"the p95 latency is no better: {twinned.p95_ms:.0f} ms against {plain.p95_ms:.0f} ms")
    if twinned.failed_share > plain.failed_share:
        found.append(f"more requests failed: {twinned.failed_share:.1%} against {plain.failed_share:.1%}")
    return found
