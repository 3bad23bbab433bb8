"""The actions of the demo's person: a pure function of time, in a loop of `LOOP_S` seconds.

0 to 3 s     smiles at the camera
3 to 7       neutral; looks to the left, then to the right
7 to 10      surprised, and comes nearer
10 to 12     neutral, steps back
12 to 15     sad, the head lowered a little
15 to 16     neutral
16 to 19     angry
19 to 21.5   smiles again
21.5 to 26   leaves to the right, is away for a good second, comes back from the left
"""

from __future__ import annotations

import math

from edge.camera.demo.face import Expression
from edge.camera.demo.portrait import Pose

LOOP_S = 26.0

HAPPY = Expression()
NEUTRAL = Expression(relax=1.8, close=1, corners_down=0.55)
SURPRISED = Expression(relax=1, jaw_drop=1, brows_up=1, corners_down=0.2)
SAD = Expression(relax=1, close=1, corners_down=1.3, inner_brows_up=1.3)
ANGRY = Expression(relax=1.4, close=1, corners_down=0.8, brows_down=2.0)

_EXPRESSIONS: tuple[tuple[float, Expression], ...] = (
    (0.0, HAPPY),
    (3.0, NEUTRAL),
    (7.0, SURPRISED),
    (10.0, NEUTRAL),
    (12.0, SAD),
    (15.0, NEUTRAL),
    (16.0, ANGRY),
    (19.0, HAPPY),
)
"""Start of each expression, s into the loop."""
_CHANGE_S = 0.4
"""Duration of a change of expression."""

_MOVES: tuple[tuple[float, Pose], ...] = (
    (0.0, Pose()),
    (3.2, Pose()),
    (4.4, Pose(x=0.47, yaw=-0.38)),
    (6.2, Pose(x=0.53, yaw=0.38)),
    (7.0, Pose(yaw=0.05)),
    (7.8, Pose(y=0.5, size=2.0, pitch=0.06)),
    (9.8, Pose(y=0.5, size=2.0, roll=0.05)),
    (11.4, Pose(x=0.52)),
    (12.6, Pose(x=0.48, y=0.47, roll=0.08, yaw=-0.1, pitch=-0.1)),
    (14.8, Pose(x=0.47, y=0.47, roll=0.08, yaw=-0.1, pitch=-0.1)),
    (16.0, Pose(x=0.5, size=1.6)),
    (17.0, Pose(x=0.51, size=1.7, yaw=0.12)),
    (18.8, Pose(x=0.5, size=1.7, yaw=-0.12)),
    (20.0, Pose(roll=-0.06)),
    (21.5, Pose(yaw=0.1)),
    (23.0, Pose(x=1.55, yaw=0.35)),
    (24.2, Pose(x=1.55)),
    (24.2, Pose(x=-0.55, yaw=0.3)),
    (25.7, Pose(yaw=0.05)),
    (LOOP_S, Pose()),
)
"""Keyframes of the pose, s into the loop, with eased movement in between."""


def expression_at(t: float) -> Expression:
    """The expression at a time; t in s, any number."""
    t %= LOOP_S
    index = max(i for i, (start, _) in enumerate(_EXPRESSIONS) if start <= t)
    start, expression = _EXPRESSIONS[index]
    previous = _EXPRESSIONS[index - 1][1] if index else _EXPRESSIONS[-1][1]
    return previous.towards(expression, _eased((t - start) / _CHANGE_S))


def pose_at(t: float) -> Pose:
    """The pose at a time; t in s, any number."""
    t %= LOOP_S
    index = max(i for i, (start, _) in enumerate(_MOVES[:-1]) if start <= t)
    (start, a), (end, b) = _MOVES[index], _MOVES[index + 1]
    k = _eased((t - start) / (end - start))
    # Nobody is quite still. A whole number of periods fits into a loop, so that its ends meet.
    sway = math.sin(2 * math.pi * 6 * t / LOOP_S)
    breath = math.sin(2 * math.pi * 7 * t / LOOP_S)
    return Pose(
        x=a.x + k * (b.x - a.x) + 0.006 * sway,
        y=a.y + k * (b.y - a.y) + 0.003 * breath,
        size=a.size + k * (b.size - a.size),
        roll=a.roll + k * (b.roll - a.roll) + 0.015 * sway,
        yaw=a.yaw + k * (b.yaw - a.yaw) + 0.04 * breath,
        pitch=a.pitch + k * (b.pitch - a.pitch) + 0.02 * sway,
    )


def _eased(share: float) -> float:
    """Smoothstep from 0 to 1."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)
