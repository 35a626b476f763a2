"""An id names one physical device, whatever is plugged in, pulled out or started anew."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.usb_tree import CONTROLLER, UsbTree
from usbshare.base.background_writer import Background
from usbshare.camera_svc.capture.device_list import DeviceList
from usbshare.line import physical_device
from usbshare.line.device_id_file import KnownDevices, forget
from usbshare.line.device_ids import DeviceNames, Wish
from usbshare.line.physical_device import PhysicalDevice
from usbshare.line.usb.serial_devices import SerialDeviceFound
from usbshare.serial_svc.ports.ids import name_devices

SOCKETS = [f"0000:00:14.0/{number}" for number in (1, 2, 3)]
# The same one, none, and some that look alike once they are part of an id.
SERIALS = ["A1", "", "a 1", "A-1", "at-14.0-1"]
SEEDS = range(40)
STEPS = 40


def device(socket: str, serial: str = "A1") -> PhysicalDevice:
    return PhysicalDevice(0x0403, 0x6001, serial, socket)


A, B, C = (device(socket) for socket in SOCKETS)
BARE = "0403-6001-a1"


class Host:
    """A service that names what is plugged in, and can be started anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known, self.background = KnownDevices(), Background("test")
        self.start()

    def start(self) -> None:
        self.background.close()
        self.background = Background("test")
        self.known = KnownDevices(self.folder, self.background)
        self.known.load()
        self.names = DeviceNames(self.known, keep_timeout_s=30)

    def look(self, there: list[PhysicalDevice]) -> dict[PhysicalDevice, str]:
        found = [
            SerialDeviceFound(
                *(f"/dev/ttyUSB{number}", None, each.vid, each.pid, each.serial),
                *(None, None, "", None, each),
            )
            for number, each in enumerate(there)
        ]
        return {each.identity: port_id for port_id, each in name_devices(found, self.names)}


@contextmanager
def host_at(folder: Path) -> Iterator[Host]:
    host = Host(folder)
    yield host
    host.background.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with host_at(tmp_path / "devices") as made:
        yield made


def follow(
    seed: int,
    host: Host,
    look: Callable[[list[PhysicalDevice]], dict[PhysicalDevice, str]],
    devices: list[PhysicalDevice],
    restart: Callable[[], None],
) -> None:
    """Plug, pull out and start anew at random; every id has one device, every device one id."""
    random_ = random.Random(seed)
    owner: dict[str, PhysicalDevice] = {}
    name_of: dict[PhysicalDevice, str] = {}
    there: list[PhysicalDevice] = []
    for _ in range(STEPS):
        if random_.random() < 0.2:
            restart()
        for each in random_.sample(devices, random_.randint(1, 3)):
            if each in there:
                there.remove(each)
            elif each.socket not in {other.socket for other in there}:
                there.insert(random_.randint(0, len(there)), each)
        for each, name in look(there).items():
            assert owner.setdefault(name, each) == each, (name, each, owner[name])
            assert name_of.setdefault(each, name) == name, (each, name, name_of[each])
    assert len(owner) > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_an_id_names_one_device_whatever_happens(host: Host, seed: int) -> None:
    devices = [device(socket, serial) for socket in SOCKETS for serial in SERIALS]
    follow(seed, host, host.look, devices, host.start)


@pytest.mark.parametrize("first", list(itertools.permutations([A, B, C])))
@pytest.mark.parametrize("restarts", [False, True])
def test_a_remaining_identical_device_keeps_its_id(
    host: Host, first: tuple[PhysicalDevice, ...], restarts: bool
) -> None:
    both = host.look(list(first[:2]))
    assert BARE not in both.values()
    for there in ([first[0]], [first[1]], [], [first[1]], [first[1], first[0]], list(first)):
        if restarts:
            host.start()
        named = host.look(there)
        assert {each: named[each] for each in there if each in both} == {
            each: both[each] for each in there if each in both
        }


@pytest.mark.parametrize("restarts", [False, True])
def test_a_bare_id_is_never_given_to_an_identical_device(host: Host, restarts: bool) -> None:
    assert host.look([A]) == {A: BARE}
    for there in ([], [B], [], [B, A], [B], [C], [C, B]):
        if restarts:
            host.start()
        named = host.look(there)
        assert all(name != BARE for each, name in named.items() if each != A)
        assert named.get(A, BARE) == BARE


def test_another_device_in_the_same_socket_gets_no_id_of_the_one_before(host: Host) -> None:
    named = [host.look([device(SOCKETS[0], serial)]) for serial in ("A 1", "A-1", "a 1", "A 1")]
    ids = [next(iter(each.values())) for each in named]
    assert len(set(ids)) == 3
    assert ids[0] == ids[3]


def test_an_id_that_is_forgotten_stays_with_the_device_that_is_plugged_in(host: Host) -> None:
    both = host.look([A, B])
    host.background.close()  # until it is on the disk
    for name in both.values():
        assert forget([host.folder], name)
    host.known.drop_forgotten()
    assert host.look([B]) == {B: both[B]}


def test_an_id_that_is_forgotten_goes_to_the_next_device(host: Host) -> None:
    host.look([A])
    host.look([])
    forget([host.folder], BARE)
    host.known.drop_forgotten()
    assert host.look([B]) == {B: BARE}


def test_a_state_folder_that_goes_away_forgets_nothing(host: Host) -> None:
    host.look([A])
    host.look([])
    host.background.close()
    host.folder.rename(host.folder.with_name("away"))
    host.known.drop_forgotten()
    assert host.look([B]) != {B: BARE}


@pytest.mark.parametrize("trouble", ["cannot be written", "hangs"])
def test_an_id_that_an_identical_device_could_have_is_given_only_once_recorded(
    tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "devices"
    with host_at(folder) as host:
        if trouble == "hangs":
            monkeypatch.setattr(host.background, "put", lambda _key, _work: None)
            host.names = DeviceNames(host.known, keep_timeout_s=0.01)
        else:
            folder.write_text("no folder")
        named = host.look([A])
        assert named != {A: BARE}
        assert host.look([A]) == named
        assert host.look([]) == {}
        assert host.look([A]) == named
    folder.unlink(missing_ok=True)
    with host_at(folder) as host:
        assert host.look([B]).keys() == {B}  # whatever it is called: nobody else was
        assert named[A] not in host.look([B]).values()


def test_an_id_that_is_all_that_is_left_belongs_to_one_device() -> None:
    wishes = [Wish(each, "", "cam") for each in (A, B)]
    names = DeviceNames(KnownDevices()).give(wishes)
    assert names[A] == "cam"
    assert names[B] == wishes[1].own
    assert wishes[0].own != wishes[1].own


class Cameras:
    """A tree of /sys with cameras, whose links are made as udev makes them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.round = root, 0
        self._monkeypatch = monkeypatch

    def look(self, host: Host, there: list[PhysicalDevice]) -> dict[PhysicalDevice, str]:
        self.round += 1
        root = self.root / str(self.round)
        sys, dev = root / "sys", root / "dev"
        tree, classes = UsbTree(sys), sys / "class" / "video4linux"
        for folder in (classes, dev / "v4l" / "by-id", dev / "v4l" / "by-path"):
            folder.mkdir(parents=True)
        self._monkeypatch.setattr(physical_device, "SYS", sys)
        for number, each in enumerate(there):
            place = each.socket.rpartition("/")[2]
            part = tree.sys / "devices" / "pci0000:00" / CONTROLLER / "usb1" / f"1-{place}"
            interface = part / f"1-{place}:1.0"
            interface.mkdir(parents=True)
            (interface / "bInterfaceNumber").write_text("00\n")
            for name, text in (
                *(("idVendor", f"{each.vid:04x}"), ("idProduct", f"{each.pid:04x}")),
                ("serial", each.serial),
            ):
                (part / name).write_text(f"{text}\n")
            (entry := classes / f"video{number}").mkdir()
            (entry / "name").write_text("HD Webcam\n")
            (entry / "index").write_text("0\n")
            (entry / "device").symlink_to(interface)
            (node := dev / f"video{number}").touch()
            serial = f"_{each.serial}".replace(" ", "_") if each.serial else ""
            links = (
                ("by-id", f"usb-cam{serial}-video-index0"),
                ("by-path", f"pci-0000:00:14.0-usb-0:{place}:1.0-video-index0"),
            )
            for kind, name in links:
                link = dev / "v4l" / kind / name
                link.unlink(missing_ok=True)
                link.symlink_to(node)
        cameras = DeviceList(lambda _: True, classes, dev, host.known)
        cameras._names = host.names
        return {each.device: each.id for each in cameras.look() if each.device is not None}


@pytest.mark.parametrize("seed", range(10))
def test_the_id_of_a_camera_names_one_device_whatever_happens(
    host: Host, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras = Cameras(tmp_path / "computer", monkeypatch)
    devices = [device(socket, serial) for socket in SOCKETS for serial in ("A1", "", "A 1")]
    devices += [PhysicalDevice(0x046D, 0x0825, "", socket) for socket in SOCKETS]
    follow(seed, host, lambda there: cameras.look(host, there), devices, host.start)
