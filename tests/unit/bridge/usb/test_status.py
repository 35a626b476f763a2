"""`usb status --json` is as docs/schemas says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fakes.json_schema import mistakes
from usbshare.bridge.usb.commands.listing import status
from usbshare.bridge.usb.records import Record, own_record


@pytest.mark.parametrize(("state", "port"), [("attaching", -1), ("attached", 8), ("waiting", -1)])
def test_an_attachment_is_shown_as_the_schema_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, port: int
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with own_record() as record:
        record.write(Record("0403:6001:A5", "laser", 1, state, port, "2026-06-01T12:00:00+00:00"))
        shown = CliRunner().invoke(status, ["--json"])
    found = json.loads(shown.output)
    assert mistakes(found, "usb_status") == []
    assert [(each["device"], each["state"], each["port"]) for each in found] == [
        ("0403:6001:A5", state, port)
    ]
