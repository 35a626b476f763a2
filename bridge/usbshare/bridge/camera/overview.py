"""The state of the view, for `/state`, for `--stats` and for programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from usbshare.client.camera.messages import Frame
from usbshare.client.camera.stream_stats import Measures
from usbshare.client.camera.view import Newest, Viewing
from usbshare.client.serial.latency import LatencySummary


class Overview:
    """Reads everything where it is kept; asking changes nothing."""

    def __init__(
        self,
        target: str,
        viewing: Viewing,
        newest: Newest,
        measures: Measures,
        clock: Callable[[], float],
    ) -> None:
        self._target = target
        self._viewing = viewing
        self._newest = newest
        self._measures = measures
        self._clock = clock

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON takes it; times are UTC, ages in milliseconds."""
        now, viewing, measures = self._clock(), self._viewing, self._measures
        camera, last = viewing.camera, self._newest.last_good
        return {
            "state": viewing.state.value,
            "reason": viewing.reason,
            "target": self._target,
            "camera": {
                "id": camera.id if camera else "",
                "name": camera.name if camera else "",
                "state": camera.state.value if camera else "",
            },
            "sequence": last.frame.sequence if last else None,
            "width_px": last.frame.width if last else 0,
            "height_px": last.frame.height if last else 0,
            "format": last.frame.link_format.value if last else "",
            "last_frame_time": iso_time(last.frame) if last else None,
            "picture_age_ms": round(last.age_s(now) * 1e3, 1) if last else None,
            "age_ms": _ages(measures.ages),
            "stages_ms": _stages(last.frame, last.age_at_arrival_s) if last else None,
            "fps": round(measures.fps(now), 2),
            "given_fps": round(viewing.given_fps, 2),
            "bytes_per_s": round(measures.bytes_per_s(now)),
            "frames": measures.frames,
            "drops": asdict(measures.drops),
            "window": viewing.window,
            "half_round_trip_ms": round(viewing.host_clock.half_round_trip_s * 1e3, 3),
            "reconnections": measures.reconnections,
        }

    def line(self) -> str:
        """Return it in one line for people."""
        now, viewing, measures = self._clock(), self._viewing, self._measures
        last = self._newest.last_good
        size = f" {last.frame.width}x{last.frame.height}" if last else ""
        reason = f" ({viewing.reason})" if viewing.reason else ""
        parts = [
            f"{viewing.state.value}{size}{reason}",
            f"{measures.fps(now):.1f} fps",
            f"age {measures.ages} ms now/min/avg/max" if measures.ages else "no age yet",
            f"{measures.bytes_per_s(now) / 1e6:.2f} MB/s",
            f"dropped: {measures.drops}",
            f"{measures.reconnections} reconnections",
        ]
        return " | ".join(parts)


def iso_time(frame: Frame) -> str:
    """Return when the frame was captured, by the host's clock."""
    moment = datetime.fromtimestamp(frame.captured_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ages(ages: LatencySummary | None) -> dict[str, float] | None:
    if ages is None:
        return None
    return {"now": ages.now_ms, "min": ages.min_ms, "avg": ages.mean_ms, "max": ages.max_ms}


def _stages(frame: Frame, age_s: float) -> dict[str, float]:
    """Return where a frame's age comes from; `hand_over` is from encoded to the connection."""
    stages = {
        "wait": frame.wait_s,
        "encode": frame.encode_s,
        "hand_over": max(0.0, frame.send_s - frame.wait_s - frame.encode_s),
        "transport": max(0.0, age_s - frame.send_s),
    }
    return {name: round(seconds * 1e3, 3) for name, seconds in stages.items()}
