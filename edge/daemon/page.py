"""The live page of the daemon: what it shows, and what its viewers ask for.

Without a viewer, the page costs a few references for each change, and nothing is computed for it.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import edge
from edge.errors import ConfigError, EdgeError, UnavailableError, UsageError
from edge.preview import Preview
from edge.preview.address import DEFAULT_ADDRESS, Address, check_token, page_token
from edge.preview.timeline import Timeline
from edge.settings import FLIPS, ROTATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge.daemon.pipeline import Pipeline
    from edge.daemon.sensors import Sensors
    from edge.mqtt.inbox import Inbox
    from edge.mqtt.publisher import Publisher
    from edge.settings import PreviewSettings, Settings
    from edge.values import Change, Face, Frame, Shown

log = logging.getLogger(__name__)

STATE_EVERY_S = 1.0
"""Interval at which viewers get the state of the device, besides at each change."""

CHANGES_MAX = 30
"""Number of changes that the page lists."""


class Page:
    """The page, while the settings have an address for it. It is the panel of its `Preview`."""

    kind: Final = "device"

    def __init__(
        self,
        settings: PreviewSettings,
        device: str,
        inbox: Inbox,
        *,
        required: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve the page, if the settings have an address for it.

        Args:
            settings: of the page.
            device: name of the device.
            inbox: takes what viewers ask for.
            required: raise if the page can't be served. Otherwise a warning says so: a port that another program uses
                must not stop a sensor.
            clock: monotonic s.

        Raises:
            ConfigError: address or token are not usable.
            EdgeError: it can't be served and is required.
        """
        self._served = settings, device
        self._inbox = inbox
        self._clock = clock
        self._timeline = Timeline(clock)
        self._changes: deque[dict[str, Any]] = deque(maxlen=CHANGES_MAX)
        self._state: dict[str, Any] = {}
        self._reply: dict[str, Any] | None = None
        self._replies = 0
        self._aim: tuple[int, str] | None = None
        self._calibrating = False
        self._paused = False
        self._state_due_at = float("-inf")
        self._preview = self._open(settings, device, required=required)

    @property
    def url(self) -> str | None:
        """URL of the page, without the token; None: it isn't served."""
        return None if self._preview is None else self._preview.url

    @property
    def has_viewers(self) -> bool:
        """Whether anyone looks at it."""
        return self._preview is not None and self._preview.has_viewers

    def frame(self, frame: Frame, faces: Sequence[Face], shown: Callable[[], Sequence[Shown]], fps: float) -> None:
        """Draw a frame for the viewers, if there are any; `shown` is only called then."""
        if self._preview is not None and self._preview.has_viewers:
            self._preview.show(frame, faces, shown(), fps)

    def changes(self, changes: Sequence[Change]) -> None:
        """List changes."""
        for change in changes:
            self._changes.append(
                {
                    "at": round(change.since, 2),
                    "track": change.track_id,
                    "expression": change.expression,
                    "previous": change.previous,
                    "confidence": round(change.confidence, 3),
                    "duration_s": round(change.duration_s, 1),
                }
            )

    def shown(self, shown: Sequence[Shown], *, paused: bool) -> None:
        """Continue the timeline; call it after each change."""
        self._paused = paused
        if self._preview is not None:
            self._preview.paused = paused
            self._preview.update_timeline(shown)

    def state_due(self, now: float) -> bool:
        """Whether somebody looks and should get the state of the device now; now in s, monotonic."""
        if not self.has_viewers:
            self._state_due_at = now  # whoever comes next gets it at once
            return False
        return now >= self._state_due_at

    def show_state(self, state: dict[str, Any], now: float) -> None:
        """Send the state of the device; see `device_state`."""
        self._state, self._state_due_at = state, now + STATE_EVERY_S
        if self._preview is not None:
            self._preview.refresh_panel()

    def hasten(self) -> None:
        """Let the state be due: something in it has changed."""
        self._state_due_at = float("-inf")

    def calibrating(self, *, running: bool) -> None:
        """Say whether a calibration is in progress."""
        self._calibrating = running
        self.hasten()

    def reply(self, name: str, *, ok: bool, message: str) -> None:
        """Show the reply to a command, whoever sent it."""
        self._replies += 1
        self._reply = {"number": self._replies, "name": name, "ok": ok, "message": message}
        self.hasten()

    def take_aim(self) -> tuple[int, str] | None:
        """Rotation and flip that a viewer has asked for since the last call; None: nobody has."""
        aim, self._aim = self._aim, None
        return aim

    def check(self, settings: PreviewSettings) -> None:
        """Check other settings.

        Raises:
            ConfigError: address or token are not usable.
        """
        if settings.address:
            check_token(Address.parse(settings.address), page_token(settings))

    def adopt(self, settings: PreviewSettings, device: str) -> None:
        """Serve the page as other settings say. Timeline and changes stay."""
        if (settings, device) == self._served and (self._preview is not None or not settings.address):
            return
        self.close()
        self._served = settings, device
        self._preview = self._open(settings, device, required=False)

    def close(self) -> None:
        """Disconnect all viewers."""
        if self._preview is not None:
            self._preview.close()

    def state(self) -> Mapping[str, Any]:
        """See `Panel.state`. Times of changes are in seconds of the same clock as `now`."""
        now = round(self._clock(), 2)
        return {
            **self._state,
            "now": now,
            "calibrating": self._calibrating,
            "reply": self._reply,
            "changes": list(self._changes),
        }

    def perform(self, action: Mapping[str, Any]) -> None:
        """See `Panel.perform`: pause, calibrate, forget or aim."""
        accepted = True
        match action:
            case {"do": "pause", "paused": bool(paused)}:
                accepted = self._inbox.put("pause", json.dumps({"paused": paused}).encode(), retained=False)
            case {"do": "calibrate"}:
                accepted = self._inbox.put("calibrate", b"", retained=False)
            case {"do": "forget"}:
                accepted = self._inbox.put("calibrate", b'{"clear": true}', retained=False)
            case {"do": "aim", "rotation": int(rotation), "flip": str(flip)} if rotation in ROTATIONS and flip in FLIPS:
                self._aim = rotation, flip
            case _:
                raise UsageError("unknown action; choose pause, calibrate, forget or aim")
        if not accepted:
            raise UnavailableError("too many commands at once; try again in some seconds")

    def _open(self, settings: PreviewSettings, device: str, *, required: bool) -> Preview | None:
        address = settings.address or (DEFAULT_ADDRESS if required else "")
        if not address:
            return None
        try:
            preview = Preview(
                address,
                token=page_token(settings),
                picture=settings.picture,
                device=device,
                panel=self,
                timeline=self._timeline,
                clock=self._clock,
            )
        except ConfigError:
            raise
        except EdgeError as error:
            if required:
                raise
            log.warning("no live page: %s (preview.address in the settings)", error)
            return None
        preview.paused = self._paused
        return preview


def device_state(
    settings: Settings,
    pipeline: Pipeline,
    sensors: Sensors,
    publisher: Publisher,
    *,
    problem: str | None,
    uptime_s: float,
) -> dict[str, Any]:
    """What the page says about the device.

    Args:
        settings: as loaded last.
        pipeline: camera, model and baseline in use.
        sensors: temperature and voltage.
        publisher: connection to the broker.
        problem: why the last reload was refused; None: it wasn't.
        uptime_s: time since the start.
    """
    camera, manifest = pipeline.camera, pipeline.bundle.manifest
    metrics, rows = manifest.provenance.metrics, manifest.provenance.rows.get("test", {})
    return {
        "version": edge.__version__,
        "uptime_s": round(uptime_s),
        "problem": problem,
        "camera": {
            "name": camera.name,
            "demo": pipeline.demo,
            "why": pipeline.demo_reason,
            "aimable": camera.live,
            "rotation": pipeline.aim[0],
            "flip": pipeline.aim[1],
            "kept": pipeline.aim == (settings.camera.rotation, settings.camera.flip),
        },
        "broker": {
            "address": publisher.broker,
            "connected": publisher.connected,
            "why": publisher.trouble,
            "queued": publisher.queued,
        },
        "temperature_c": sensors.temperature_c,
        "throttled": sensors.throttled,
        "under_voltage": sensors.under_voltage,
        "target_fps": round(sensors.fps, 1),
        "model": {
            "id": manifest.id,
            "accuracy": metrics.get("accuracy"),
            "majority_baseline": metrics.get("majority_baseline"),
            "rows": rows.get("judged"),
        },
        "baseline": {
            "supported": pipeline.bundle.supports_baseline,
            "measured": pipeline.baseline_measured,
        },
    }
