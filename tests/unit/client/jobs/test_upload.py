"""A file comes to a host whole, whatever happens to the link meanwhile."""

from __future__ import annotations

import random
from collections import deque
from hashlib import sha256
from typing import Any

import pytest

from fakes.remote_jobs import UploadHost
from usbshare.base.backoff import Backoff
from usbshare.base.errors import (
    ConnectionRefusedByPeerError,
    InvalidArgumentError,
    PermissionDeniedError,
)
from usbshare.client.jobs import upload as module
from usbshare.client.jobs.upload import PIECE_BYTES, Uploader

CONTENT = random.Random(1).randbytes(40 * PIECE_BYTES + 17)


class Source:
    """A file in memory, which may be another one from an offset on."""

    def __init__(self, changes_at: int | None = None) -> None:
        self.name = "box.gcode"
        self.size_bytes = len(CONTENT)
        self.sha256 = sha256(CONTENT).hexdigest()
        self.reads = 0
        self._changes_at = changes_at

    def read(self, offset: int, size: int) -> bytes:
        self.reads += 1
        if self._changes_at is not None and offset >= self._changes_at:
            raise InvalidArgumentError("box.gcode changed during the upload")
        return CONTENT[offset : offset + size]


class Upload:
    """An Uploader that remembers what it told."""

    def __init__(self, host: UploadHost, source: Source | None = None) -> None:
        self.progress: list[int] = []
        self.cuts: list[str] = []
        self.source = source or Source()
        client: Any = host
        self.uploader = Uploader(client, self.source, self.progress.append, self.cuts.append)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next_s", lambda _: 0.0)


async def test_a_file_is_sent_in_pieces_and_its_progress_is_reported() -> None:
    upload = Upload(host := UploadHost())
    found = await upload.uploader.send()
    assert host.content == CONTENT
    assert found.sha256 == sha256(CONTENT).hexdigest()
    assert upload.progress[0] == 0
    assert upload.progress == sorted(upload.progress)
    assert upload.progress[-1] == len(CONTENT)
    assert not upload.cuts


@pytest.mark.parametrize("seed", range(20))
async def test_an_upload_cut_anywhere_ends_whole(seed: int) -> None:
    chance = random.Random(seed)
    cuts = deque([PIECE_BYTES, *(chance.randrange(0, len(CONTENT)) for _ in range(6))])
    upload = Upload(host := UploadHost(cuts))
    await upload.uploader.send()
    assert host.content == CONTENT
    assert len(upload.cuts) == host.attempts - 1


async def test_bytes_that_the_host_already_has_are_not_sent_again() -> None:
    upload = Upload(UploadHost(content=bytearray(CONTENT)))
    await upload.uploader.send()
    assert upload.source.reads == 0


async def test_a_host_that_cannot_be_reached_at_first_is_reported_at_once() -> None:
    upload = Upload(host := UploadHost(deque([0] * 100)))
    with pytest.raises(ConnectionRefusedByPeerError):
        await upload.uploader.send()
    assert host.attempts == 1


async def test_an_upload_that_gets_nowhere_any_more_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GIVE_UP_S", 0.05)
    upload = Upload(UploadHost(deque([PIECE_BYTES, *([0] * 100_000)])))
    with pytest.raises(ConnectionRefusedByPeerError):
        await upload.uploader.send()
    assert upload.uploader.accepted == PIECE_BYTES


async def test_a_refusal_is_not_tried_again() -> None:
    host = UploadHost(refusal=PermissionDeniedError("anna lacks the right to control"))
    with pytest.raises(PermissionDeniedError):
        await Upload(host).uploader.send()
    assert host.attempts == 1


async def test_a_file_that_changes_meanwhile_ends_the_upload() -> None:
    upload = Upload(host := UploadHost(), Source(changes_at=10 * PIECE_BYTES))
    with pytest.raises(InvalidArgumentError, match="changed during the upload"):
        await upload.uploader.send()
    assert len(host.content) == 10 * PIECE_BYTES
    assert host.attempts == 1
