"""The agreement of a shadow is counted, and no payload of other clients breaks the counting."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from edge.fleet.agreement import ShadowView
from edge.messages import payloads
from edge.messages.payloads import Info
from edge.values import Shown
from tests.support.watched import CLOCK, NOW, OTHER, SAME, anything, compared


def read(view: ShadowView, topic: str, payload: bytes) -> str | None:
    return view.read(f"emotion/{topic}", payload, now=NOW, live_state=False)


def test_agreement_is_counted_for_each_face_and_state():
    view = ShadowView("emotion")
    for payload in (compared(SAME), compared(SAME, OTHER), compared(), compared(("fear", "surprise")), compared(OTHER)):
        read(view, "pi/shadow/state", payload)
    read(view, "attic/shadow/state", compared(SAME))
    assert view.summary() == [
        "attic: 100.0 % of 1 states agree  (m2 as the shadow of m1)",
        "pi: 40.0 % of 5 states agree; neutral -> sadness 2, fear -> surprise 1  (m2 as the shadow of m1)",
    ]
    assert view.status(60) == "attic: 100.0 % of 1 states agree  ·  pi: 40.0 % of 5 states…"


def test_a_disagreement_is_a_line_when_it_begins():
    view = ShadowView("emotion")
    lines = [
        read(view, "pi/shadow/state", compared(*pairs)) for pairs in ((SAME,), (OTHER,), (OTHER, SAME), (SAME, OTHER))
    ]
    assert lines[0] is lines[2] is None
    assert (lines[1] or "").endswith("pi  face 1 neutral, the shadow says sadness")
    assert (lines[3] or "").endswith("pi  face 2 neutral, the shadow says sadness")


def test_a_face_that_only_the_shadow_still_holds_is_not_compared():
    view = ShadowView("emotion")
    shown = [Shown(1, "fear", 0.9, 0.0)]
    payload = payloads.shadow_state(shown, [], models=("m2", "m1"), at=0.0, clock=CLOCK)
    read(view, "pi/shadow/state", payloads.encode(payload))
    assert view.summary() == ["pi: no face yet  (m2 as the shadow of m1)"]


def test_other_bundles_are_counted_from_the_start():
    view = ShadowView("emotion")
    read(view, "pi/shadow/state", compared(OTHER))
    read(view, "pi/shadow/state", compared(SAME, models=("m3", "m1")))
    assert view.summary() == ["pi: 100.0 % of 1 states agree  (m3 as the shadow of m1)"]


@pytest.mark.parametrize(
    ("shadow", "problem", "line"),
    [("m2", None, "m2 is the shadow of m1"), (None, None, "no shadow"), (None, "bad bundle", "no shadow: bad bundle")],
)
def test_a_shadow_is_reported_once(shadow: str | None, problem: str | None, line: str):
    view = ShadowView("emotion")
    info = payloads.info(Info("pi", {}, "m1", None, {}, "demo", [], None, shadow, problem))
    assert (read(view, "pi/info", payloads.encode(info)) or "").endswith(f"  pi  {line}")
    assert read(view, "pi/info", payloads.encode(info)) is None


def test_the_counts_are_printed_as_json_on_request():
    view = ShadowView("emotion")
    view.as_json("emotion/pi/shadow/state", compared(SAME))
    counts = json.loads(view.as_json("emotion/pi/shadow/state", compared(OTHER)) or "")
    assert counts == {
        "device": "pi", "model": "m2", "in_use": "m1", "states": 2, "agreed": 1, "share": 0.5,
        "disagreements": [{"in_use": "neutral", "shadow": "sadness", "states": 1}],
    }  # fmt: skip
    assert view.as_json("emotion/pi/info", b"{}") is None


@pytest.mark.parametrize("kind", ["info", "shadow/state"])
@given(payload=anything)
def test_no_payload_breaks_the_comparison(kind: str, payload: bytes):
    view = ShadowView("emotion")
    line = read(view, f"pi\x1b[2J/{kind}", payload) or ""
    text = (
        line + view.status(200) + "".join(view.summary()) + (view.as_json(f"emotion/pi\x1b[2J/{kind}", payload) or "")
    )
    assert text.isprintable()


def test_many_expressions_do_not_fill_the_memory():
    view = ShadowView("emotion")
    for i in range(500):
        read(view, "pi/shadow/state", compared(*((str(i), f"not {i}"),) * 2))
    assert len(view.as_json("emotion/pi/shadow/state", compared()) or "") < 20_000
