"""What the audit log is told of the cameras."""

from __future__ import annotations

import pytest

from fakes.audit import FakeAudit
from fakes.clock import FakeClock
from usbshare.camera_svc.capture.audit import SNAPSHOT_PAUSE_S, CameraAudit
from usbshare.camera_svc.capture.frame_source import ControlChange
from usbshare.camera_svc.viewers.stats import Client

BOB = Client("browser", "usbshare://site/bob", "192.0.2.7:4")


def test_a_viewer_that_comes_and_goes_is_reported_also_when_it_is_torn_away() -> None:
    clock, audit = FakeClock(), FakeAudit()
    with pytest.raises(RuntimeError, match="torn away"):
        torn_away_after(3.5, clock, CameraAudit(clock, audit))
    assert audit.events == ["viewer came", "viewer left"]
    left = audit.last("viewer left")
    assert (left["who"], left["address"], left["camera"]) == (BOB.identity, BOB.peer, "bed")
    assert left["seconds"] == 3.5


def torn_away_after(seconds: float, clock: FakeClock, camera_audit: CameraAudit) -> None:
    with camera_audit.watching(BOB, "bed"):
        clock.advance(seconds)
        raise RuntimeError("torn away")


def test_of_single_pictures_one_per_minute_is_recorded_for_each_identity_and_camera() -> None:
    clock, audit = FakeClock(), FakeAudit()
    camera_audit = CameraAudit(clock, audit)
    other = Client("", "usbshare://site/eve", "192.0.2.8:4")
    for client, camera in ((BOB, "bed"), (BOB, "bed"), (BOB, "room"), (other, "bed")):
        camera_audit.pictured(client, camera)
    clock.advance(SNAPSHOT_PAUSE_S)
    camera_audit.pictured(BOB, "bed")
    told = [(entry["who"][-3:], entry["camera"]) for entry in audit.entries]
    assert told == [("bob", "bed"), ("bob", "room"), ("eve", "bed"), ("bob", "bed")]


def test_changed_controls_are_reported_with_their_values() -> None:
    audit = FakeAudit()
    changes = (ControlChange("exposure", 250.0), ControlChange("focus", automatic=True))
    CameraAudit(FakeClock(), audit).controlled(BOB, "bed", changes)
    assert audit.last("controls changed")["controls"] == {"exposure": 250.0, "focus": "auto"}
