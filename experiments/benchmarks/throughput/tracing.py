"""Where the time of a run went: what lies between the server's work and the clock on the wall, cohort by cohort.

`run.py --trace` prints it. Server and client read the same clock (`time.perf_counter`, one for all processes on Linux).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

Events = Sequence[tuple[float, int]]
"""(when, +1 for a request that came, -1 for its answer), in order."""


def ideal(asked: int, evaluated: int, given: dict[str, Any]) -> float:
    """Seconds that a cohort takes a client without any cost of its own: its operator calls, then the cases of each child."""
    line, inside, now = [1] * asked + [0] * (given["cases"] * (evaluated - asked)), [], 0.0
    while line or inside:
        while line and len(inside) < given["in_flight"]:
            heapq.heappush(inside, (now + given["delay"], line.pop(0)))
        now, opens = heapq.heappop(inside)
        line += [0] * (given["cases"] * opens)
    return now


def full(events: Events, most: int) -> float:
    """Seconds from the first request until as many are inside as may be; until the last one came, where that never is."""
    inside, came = 0, events[0][0]
    for when, step in events:
        inside += step
        came = when if step > 0 else came
        if inside >= most:
            return when - events[0][0]
    return came - events[0][0]


def shown(found: dict[str, Any], events: Events, given: dict[str, Any]) -> str:
    """A table in milliseconds: the time before each cohort, until all places are taken, and beyond what it takes without cost."""
    began, last = found["began"], events[1][0]
    lines = [f"  start to the first request {1e3 * (events[0][0] - began):.0f}, its answer {1e3 * (last - events[0][0]):.0f}"]
    lines += [f"  {'cohort':>8} {'calls':>6} {'gap before':>11} {'to full':>8} {'took':>7} {'ideal':>7} {'beyond':>7}"]
    rest = [one for one in events if one[0] > last]
    for number, ((asked, evaluated), told) in enumerate(zip(found["cohorts"], found["told"], strict=True)):
        mine = [one for one in rest if last < one[0] <= told]
        took, least = mine[-1][0] - mine[0][0], ideal(asked, evaluated, given)
        calls = sum(step > 0 for _, step in mine)
        shares = (mine[0][0] - last, full(mine, given["in_flight"]), took, least, took - least)
        lines.append(f"  {number:8} {calls:6} " + " ".join(f"{1e3 * x:{w}.0f}" for x, w in zip(shares, (11, 8, 7, 7, 7), strict=True)))
        last = mine[-1][0]
    lines.append(f"  last answer to the end {1e3 * (began + found['wall'] - last):.0f}")
    return "\n".join(lines)
