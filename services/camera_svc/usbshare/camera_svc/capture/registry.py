"""Every camera of the host, by id: the configured ones, or what is plugged in."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime

from usbshare.base.errors import InvalidArgumentError, LimitError, NotFoundError
from usbshare.camera_svc.capture.camera import Camera, CameraConfig, CameraState
from usbshare.camera_svc.capture.capture import Abandoned, CaptureCounters, CaptureThread, now
from usbshare.camera_svc.capture.device_guard import CameraGuard
from usbshare.camera_svc.capture.device_list import CameraFound, watch_cameras
from usbshare.camera_svc.capture.frame_source import SourceMaker, Wish
from usbshare.camera_svc.capture.quarantine import CameraQuarantine
from usbshare.camera_svc.capture.source_factory import source_maker
from usbshare.camera_svc.picture.encode import EncodeCounters, Encoder
from usbshare.camera_svc.picture.frame import Picture, Raw
from usbshare.camera_svc.picture.jpeg import check_jpeg
from usbshare.camera_svc.picture.placeholder import placeholder
from usbshare.camera_svc.viewers.encoded import Maker, Serialise
from usbshare.camera_svc.viewers.fanout import Fanout, Made
from usbshare.camera_svc.viewers.stats import Watcher
from usbshare.line.device_id_file import KnownDevices

log = logging.getLogger(__name__)

MOST_VIEWERS = 2000
DEMO_CAMERA = "demo"
DEMO_SOURCE = "sim://bed"
_UNKNOWN_SIZE = (1280, 720)


@dataclass(frozen=True, slots=True)
class Encoding:
    """What all cameras share: the threads that encode, and how a picture becomes a message."""

    executor: Executor
    threads: int
    serialise: Serialise


class OfferedCamera:
    """A camera with its counters and those who watch it."""

    def __init__(
        self,
        config: CameraConfig,
        make_source: SourceMaker,
        encoding: Encoding,
        changed: Callable[[OfferedCamera], None],
    ) -> None:
        self.captured = CaptureCounters()
        self.encoded = EncodeCounters()
        self.watchers: list[Watcher] = []
        self._left_frames = self._left_bytes = 0
        self._make_source = make_source
        self._serialise = encoding.serialise
        self._changed = changed
        self._sequence = itertools.count(1)
        self._abandoned = Abandoned()
        self._standing_in: tuple[str, int, bytes] = ("", -1, b"")
        maker = Maker(Encoder(self.encoded), encoding.serialise)
        fanout = Fanout(
            maker.make,
            encoding.executor,
            asyncio.get_running_loop().call_soon_threadsafe,
            self._failed,
            encoding.threads,
            video=maker,
        )
        self.camera = Camera(config, self._capture, fanout, self._placeholder, self._camera_changed)

    @property
    def id(self) -> str:
        """The stable id."""
        return self.camera.id

    def join(self, watcher: Watcher) -> None:
        """Serve a viewer; LimitError when there are as many as may be."""
        if len(self.watchers) >= MOST_VIEWERS:
            raise LimitError(f"camera '{self.id}' already has {MOST_VIEWERS} viewers")
        self.watchers.append(watcher)
        self.camera.join(watcher.viewer)

    def leave(self, watcher: Watcher) -> None:
        """Serve it no longer."""
        self.watchers.remove(watcher)
        self.camera.leave(watcher.viewer)
        self._left_frames += watcher.viewer.counters.sent_frames
        self._left_bytes += watcher.viewer.counters.sent_bytes

    @property
    def sent_frames(self) -> int:
        """Frames sent to all viewers, those that left too."""
        counters = (each.viewer.counters for each in tuple(self.watchers))
        return self._left_frames + sum(each.sent_frames for each in counters)

    @property
    def sent_bytes(self) -> int:
        """Bytes of frames sent to all viewers, those that left too."""
        counters = (each.viewer.counters for each in tuple(self.watchers))
        return self._left_bytes + sum(each.sent_bytes for each in counters)

    def _failed(self, error: Exception) -> None:
        self.captured.bad += 1
        self.camera.not_made(str(error))

    def _capture(self, listener: Camera) -> CaptureThread:
        return CaptureThread(
            self.id,
            self._make_source,
            listener,
            lambda: next(self._sequence),
            self.captured,
            self._abandoned,
        )

    def _placeholder(self, reason: str, last_good: Raw | None) -> Made:
        data = self._drawn(reason, last_good)
        size = check_jpeg(data)
        picture = Picture(next(self._sequence), now(), *size, data, is_placeholder=True)
        return picture, self._serialise(picture)

    def _drawn(self, reason: str, last_good: Raw | None) -> bytes:
        """Return the picture that says why, drawn once for each reason: it takes some ms."""
        seen = last_good.sequence if last_good else 0
        if self._standing_in[:2] != (reason, seen):
            size = (last_good.width, last_good.height) if last_good else _UNKNOWN_SIZE
            at = datetime.fromtimestamp(last_good.captured.wall_s, UTC) if last_good else None
            drawn = placeholder(*size, f"{self.camera.config.name}: {reason}", at)
            self._standing_in = (reason, seen, drawn)
        return self._standing_in[2]

    def _camera_changed(self, camera: Camera) -> None:
        log.debug("camera '%s' is %s", self.id, camera.state.value)
        for watcher in self.watchers:
            watcher.camera_changed()
        self._changed(self)


class Registry:
    """The cameras of this host. Ids never are device paths, which change on replug."""

    def __init__(
        self,
        encoding: Encoding,
        quarantine: CameraQuarantine | None = None,
        known: KnownDevices | None = None,
    ) -> None:
        self._known = known or KnownDevices()
        self.ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._encoding = encoding
        self._quarantine = quarantine
        self._seen: tuple[CameraFound, ...] | None = None
        self._cameras: dict[str, OfferedCamera] = {}
        self._plugged_in: set[str] = set()
        self._unplugged: set[str] = set()

    @property
    def cameras(self) -> list[OfferedCamera]:
        """All cameras, sorted by id."""
        return [self._cameras[camera_id] for camera_id in sorted(self._cameras)]

    def add(self, config: CameraConfig, make_source: SourceMaker) -> OfferedCamera:
        """Offer a camera; it is opened for its first viewer, or now if it is always on."""
        if self._quarantine is not None:
            make_source = self._quarantine.guarded(config.source, make_source)
        offered = OfferedCamera(config, make_source, self._encoding, self._changed)
        self._cameras[config.id] = offered
        if config.always_on:
            offered.camera.open()
        return offered

    def add_configured(self, config: CameraConfig, wish: Wish) -> OfferedCamera:
        """Offer a camera that keeps the device of its first opening; raises ConfigError."""
        guard = CameraGuard(config.id, self._known)
        return self.add(config, source_maker(config.source, wish, guard))

    def add_demo(self) -> None:
        """Offer a simulated laser bed, for a host without any camera."""
        config = CameraConfig(DEMO_CAMERA, "simulated laser bed", DEMO_SOURCE)
        self.add(config, source_maker(DEMO_SOURCE, Wish()))

    def get(
        self, camera_id: str, known: Callable[[Iterable[str]], list[str]] = sorted
    ) -> OfferedCamera:
        """Return a camera; "" means the only `known` one. InvalidArgumentError, NotFoundError."""
        if camera := self._cameras.get(camera_id):
            return camera
        ids = known(self._cameras)
        if not camera_id and len(ids) == 1:
            return self._cameras[ids[0]]
        names = ", ".join(ids) or "none"
        if not camera_id:
            raise InvalidArgumentError(
                "this host does not have exactly one camera; name one (camera_id, --camera): "
                f"{names}"
            )
        raise NotFoundError(f"no camera {repr(camera_id)[:66]} here; available: {names}")

    async def follow(self, look: Callable[[], tuple[CameraFound, ...]]) -> None:
        """Offer the cameras that are plugged in, as they come and go, until cancelled."""
        await watch_cameras(look, self.plugged_in)

    def plugged_in(self, found: Iterable[CameraFound]) -> None:
        """Note which cameras are plugged in; one that is watched stays until it is closed."""
        self._seen = tuple(found)
        allowed = self._quarantine.allowed(self._seen) if self._quarantine else self._seen
        there = {each.id: each for each in allowed}
        self._unplugged = self._plugged_in - there.keys()
        for camera_id in there.keys() - self._cameras.keys():
            each = there[camera_id]
            log.info("camera '%s' plugged in: %s", camera_id, each.path)
            config = CameraConfig(camera_id, each.name, each.source)
            guard = CameraGuard(camera_id, self._known, each.device, each.index)
            self.add(config, source_maker(each.source, Wish(), guard))
            self._plugged_in.add(camera_id)
        for camera_id in tuple(self._unplugged):
            self._drop_unplugged(self._cameras[camera_id])

    def rules_changed(self) -> None:
        """Note that other devices may be allowed now; those that may not are closed at once."""
        if self._seen is not None:
            self.plugged_in(self._seen)
        for offered in self.cameras:
            if self._quarantine and (why := self._quarantine.why_not(offered.camera.config.source)):
                offered.camera.withdraw(why)

    async def close(self) -> None:
        """Close every camera and let its streams end."""
        if not self.ending.done():
            self.ending.set_result(None)
        await asyncio.gather(*(offered.camera.close() for offered in self.cameras))

    def _changed(self, offered: OfferedCamera) -> None:
        if offered.id in self._unplugged:
            self._drop_unplugged(offered)

    def _drop_unplugged(self, offered: OfferedCamera) -> None:
        if offered.camera.state is CameraState.CLOSED:
            log.info("camera '%s' unplugged", offered.id)
            self._unplugged.discard(offered.id)
            self._plugged_in.discard(offered.id)
            del self._cameras[offered.id]
