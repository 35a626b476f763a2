"""Who has which device, and what the kernel is told."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes.usb_sysfs import FakeUsbipHost, UsbSysfs
from fakes.waiting import until
from usbshare.authorization.policy import Policy
from usbshare.base.errors import DeviceError, NotFoundError, PortHeldError, WrongStateError
from usbshare.line.usb.device import DeviceSelector, parse_selector
from usbshare.usb_svc.devices.judgement import State
from usbshare.usb_svc.export import usbip_host
from usbshare.usb_svc.export.lending import Lending
from usbshare.usb_svc.export.loan_notes import LoanNotes

ADAPTER, OTHER = "0403:6001:A5", "0403:6001:A6"
LENT = ["match_busid add 1-1", "unbind 1-1", "bind 1-1"]
TAKEN_BACK = ["unbind 1-1", "rebind 1-1"]


class Rig:
    def __init__(self, folder: Path) -> None:
        self.usb = UsbSysfs(folder)
        self.adapter = self.usb.plug_in("1-1", "0403", "6001", serial="A5")
        self.kernel = FakeUsbipHost(self.usb)
        self.policy = Policy()
        self.state = folder / "state"
        self.listed: list[DeviceSelector] | None = None
        self.lending = self.started()

    def started(self) -> Lending:
        """Return what a service has that starts now."""
        notes = LoanNotes(self.state, self.usb.places.proc)
        notes.load()
        return Lending(self.usb.places, self.kernel, notes, self.listed, lambda: self.policy)

    def states(self) -> dict[str, State]:
        return {each.id: each.state for each in self.lending.devices}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    await made.lending.look()
    yield made
    await made.lending.close()
    made.kernel.close()
    assert made.kernel.oopses == []


async def test_a_device_is_taken_from_its_driver_and_given_back(rig: Rig) -> None:
    async with rig.lending.lend(ADAPTER, "bench-3") as loan:
        rig.kernel.devices["1-1"].send(b"from the device")
        assert await asyncio.get_running_loop().sock_recv(loan.end, 64) == b"from the device"
        assert rig.kernel.written[:3] == LENT
        assert rig.states() == {ADAPTER: State.ATTACHED}
    assert rig.kernel.written[-2:] == TAKEN_BACK
    assert rig.states() == {ADAPTER: State.AVAILABLE}


async def test_one_client_at_a_time_has_a_device(rig: Rig) -> None:
    async with rig.lending.lend(ADAPTER, "bench-3"):
        with pytest.raises(PortHeldError, match="attached by bench-3"):
            async with rig.lending.lend(ADAPTER, "bench-4"):
                pass
        assert "rebind 1-1" not in rig.kernel.written
    async with rig.lending.lend(ADAPTER, "bench-4"):
        pass


async def test_two_that_ask_at_once_do_not_both_get_it(rig: Rig) -> None:
    async def have() -> None:
        async with rig.lending.lend(ADAPTER, "bench-3"):
            await asyncio.sleep(0)

    results = await asyncio.gather(have(), have(), return_exceptions=True)
    assert [type(each) for each in results].count(PortHeldError) == 1


async def test_a_device_used_by_a_program_of_the_host_is_refused_with_its_name(rig: Rig) -> None:
    rig.usb.node(rig.adapter, "ttyUSB0")
    rig.usb.program(77, "/dev/ttyUSB0", "python3", "-m", "usbshare.serial_svc")
    with pytest.raises(PortHeldError, match="held by serial-svc"):
        async with rig.lending.lend(ADAPTER, "bench-3"):
            pass
    assert rig.kernel.written == []
    assert rig.states() == {ADAPTER: State.IN_USE}


async def test_a_disk_that_the_kernel_claims_is_refused_though_no_file_shows_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.usb.disk(rig.adapter)
    rig.listed = [parse_selector("0403:6001")]
    lending = rig.started()
    await lending.look()
    monkeypatch.setattr("usbshare.usb_svc.devices.disks._is_claimed", lambda *_: True)
    with pytest.raises(PortHeldError, match="held by the kernel"):
        async with lending.lend(ADAPTER, "bench-3"):
            pass
    await lending.close()
    assert rig.kernel.written == []


async def test_a_device_that_is_not_lent_is_refused_with_the_reason(rig: Rig) -> None:
    rig.usb.plug_in("1-2", "046d", "c31c", [(3, 1, 1)])
    await rig.lending.look()
    with pytest.raises(WrongStateError, match="keyboard"):
        async with rig.lending.lend("046d:c31c@0000:00:14.0/2", "bench-3"):
            pass
    with pytest.raises(NotFoundError):
        async with rig.lending.lend("dead:beef", "bench-3"):
            pass


async def test_the_policys_list_of_devices_holds_here_too(rig: Rig) -> None:
    rig.policy = Policy.model_validate({"devices": "listed"})
    with pytest.raises(WrongStateError, match="allowed_devices"):
        async with rig.lending.lend(ADAPTER, "bench-3"):
            pass
    rig.policy = Policy.model_validate({"devices": "listed", "allowed_devices": [{"vid": "0403"}]})
    await rig.lending.look()
    async with rig.lending.lend(ADAPTER, "bench-3"):
        pass


@pytest.mark.parametrize(
    ("file", "last"), [("bind", "drivers_probe 1-1"), ("usbip_sockfd", "rebind 1-1")]
)
async def test_a_device_that_the_kernel_refuses_is_given_back(
    rig: Rig, file: str, last: str
) -> None:
    rig.kernel.refuses = file
    with pytest.raises(DeviceError, match="no such device"):
        async with rig.lending.lend(ADAPTER, "bench-3"):
            pass
    assert last in rig.kernel.written
    assert rig.states() == {ADAPTER: State.AVAILABLE}


async def test_a_device_that_never_comes_back_from_its_reset_is_given_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usbip_host, "READY_S", 0.05)
    monkeypatch.setattr(usbip_host, "_AVAILABLE", "never")
    with pytest.raises(DeviceError, match="not ready within"):
        async with rig.lending.lend(ADAPTER, "bench-3"):
            pass
    assert "rebind 1-1" in rig.kernel.written


async def test_a_device_that_is_unplugged_while_it_is_lent_is_not_given_back(rig: Rig) -> None:
    async with rig.lending.lend(ADAPTER, "bench-3"):
        unplugged(rig)
    await rig.lending.look()
    assert rig.kernel.written == [*LENT, *rig.kernel.written[3:4]]
    assert (rig.states(), list(rig.state.iterdir())) == ({}, [])


async def test_a_client_that_is_cancelled_leaves_nothing_behind(rig: Rig) -> None:
    begun = asyncio.Event()

    async def have() -> None:
        async with rig.lending.lend(ADAPTER, "bench-3"):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(have())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert rig.kernel.written[-2:] == TAKEN_BACK
    assert rig.states() == {ADAPTER: State.AVAILABLE}


async def test_a_client_that_is_cancelled_during_the_reset_takes_no_socket_from_the_kernel(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def have() -> None:
        async with rig.lending.lend(ADAPTER, "bench-3"):
            pytest.fail("lent to a client that has gone")

    made: list[tuple[int, int]] = []
    pair = socket.socketpair

    def noted() -> tuple[socket.socket, socket.socket]:
        ends = pair()
        made.append((ends[1].fileno(), os.fstat(ends[1].fileno()).st_ino))
        return ends

    monkeypatch.setattr(socket, "socketpair", noted)
    rig.kernel.slow.add("1-1")
    task = asyncio.create_task(have())
    await until(lambda: rig.kernel.resets("1-1"))
    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ((number, inode),) = made
    others = [socket.socket() for _ in range(8)]  # one of them would get a number that is free
    given: list[int] = []
    write = rig.kernel._write

    def seen(file: Path, text: str) -> None:
        if text == str(number):
            given.append(os.fstat(number).st_ino)
        write(file, text)

    monkeypatch.setattr(rig.kernel, "_write", seen)
    rig.kernel.end_reset("1-1")
    with pytest.raises(asyncio.CancelledError):
        await task
    for each in others:
        each.close()
    assert given == [inode]
    assert rig.kernel.written[-2:] == TAKEN_BACK
    assert rig.states() == {ADAPTER: State.AVAILABLE}
    assert list(rig.state.iterdir()) == []


async def test_a_service_that_stops_gives_back_first_what_a_client_that_went_had(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, kernel_is_done, take_back = asyncio.Event(), threading.Event(), rig.kernel.take_back

    async def have() -> None:
        async with rig.lending.lend(ADAPTER, "bench-3"):
            begun.set()
            await asyncio.Event().wait()

    def taken_back_slowly(busid: str) -> None:
        assert kernel_is_done.wait(30)
        take_back(busid)

    monkeypatch.setattr(rig.kernel, "take_back", taken_back_slowly)
    had = asyncio.create_task(have())
    await begun.wait()
    had.cancel()
    asyncio.get_running_loop().call_soon(kernel_is_done.set)
    await rig.lending.close()
    assert rig.kernel.written[-2:] == TAKEN_BACK
    assert list(rig.state.iterdir()) == []
    await asyncio.wait({had})


@asynccontextmanager
async def waiting_for_the_thread(rig: Rig) -> AsyncIterator[asyncio.Task[None]]:
    """Yield who asked for the adapter while the reset of another device goes on, until it ends."""

    async def have(device_id: str) -> None:
        async with rig.lending.lend(device_id, "bench-3"):
            pass

    rig.usb.plug_in("1-2", "0403", "6001", serial=OTHER.rpartition(":")[2])
    rig.kernel.slow.add("1-2")
    await rig.lending.look()
    other = asyncio.create_task(have(OTHER))
    waiting = asyncio.create_task(have(ADAPTER))
    await until(lambda: rig.kernel.resets("1-2"))
    await until(lambda: rig.states() == dict.fromkeys((ADAPTER, OTHER), State.ATTACHED))
    yield waiting
    rig.kernel.end_reset("1-2")
    await other
    await asyncio.wait({waiting})
    assert not any("1-1" in each for each in rig.kernel.written)


async def test_a_client_that_is_cancelled_before_its_turn_costs_its_device_no_reset(
    rig: Rig,
) -> None:
    async with waiting_for_the_thread(rig) as waiting:
        waiting.cancel()
        await asyncio.sleep(0)
    assert waiting.cancelled()
    assert rig.states() == dict.fromkeys((ADAPTER, OTHER), State.AVAILABLE)


def opened_by_a_program(rig: Rig) -> None:
    rig.usb.node(rig.adapter, "ttyUSB0")
    rig.usb.program(77, "/dev/ttyUSB0", "python3", "-m", "usbshare.serial_svc")


def unplugged(rig: Rig) -> None:
    (rig.usb.sys / "bus/usb/devices/1-1").unlink()


def another_in_its_place(rig: Rig) -> None:
    (rig.adapter / "idProduct").write_text("6010\n")


def plugged_in_again(rig: Rig) -> None:
    (rig.adapter / "devnum").write_text("99\n")


def forbidden(rig: Rig) -> None:
    rig.policy = Policy.model_validate({"devices": "listed"})


@pytest.mark.parametrize(
    ("happen", "error", "text"),
    [
        (opened_by_a_program, PortHeldError, "held by serial-svc"),
        (unplugged, DeviceError, f"'{ADAPTER}' was unplugged"),
        (another_in_its_place, DeviceError, f"'{ADAPTER}' was unplugged"),
        (plugged_in_again, DeviceError, f"'{ADAPTER}' was unplugged"),
        (forbidden, WrongStateError, "allowed_devices"),
    ],
)
async def test_a_device_that_changed_while_another_was_reset_is_not_lent(
    rig: Rig, happen: Callable[[Rig], None], error: type[Exception], text: str
) -> None:
    async with waiting_for_the_thread(rig) as waiting:
        happen(rig)
    with pytest.raises(error, match=text):
        await waiting


async def test_news_come_of_every_change(rig: Rig) -> None:
    waiting = asyncio.create_task(rig.lending.news())
    await asyncio.sleep(0)
    rig.usb.plug_in("1-3", "1a86", "7523")
    await rig.lending.look()
    await asyncio.wait_for(waiting, 30)
    assert "1a86:7523@0000:00:14.0/3" in rig.states()


@asynccontextmanager
async def started_after_a_kill(rig: Rig) -> AsyncIterator[Lending]:
    """Yield a service that starts after another was killed, which had lent the adapter."""
    boot = rig.usb.places.proc / "sys/kernel/random/boot_id"
    boot.parent.mkdir(parents=True)
    boot.write_text("a\n")
    async with rig.lending.lend(ADAPTER, "bench-3"):
        lending = rig.started()
        left = {each: each.read_bytes() for each in rig.state.iterdir()}
    for path, content in left.items():
        path.write_bytes(content)
    rig.kernel.bind("1-1")
    rig.kernel.written.clear()
    yield lending
    await lending.close()


async def test_a_device_lent_by_a_killed_service_is_freed(rig: Rig) -> None:
    async with started_after_a_kill(rig) as lending:
        await lending.take_back_left_over()
        assert rig.kernel.written == TAKEN_BACK
        assert list(rig.state.iterdir()) == []
        await lending.look()
        assert [each.state for each in lending.devices] == [State.AVAILABLE]


async def test_a_device_taken_but_not_bound_by_a_killed_service_is_freed(rig: Rig) -> None:
    async with started_after_a_kill(rig) as lending:
        rig.usb.driven_by("1-1", "")
        await lending.take_back_left_over()
        await lending.look()
        assert [each.state for each in lending.devices] == [State.AVAILABLE]
        assert list(rig.state.iterdir()) == []


async def test_a_device_bound_by_an_administrator_stays_bound_and_is_not_lent(rig: Rig) -> None:
    rig.kernel.bind("1-1")
    await rig.lending.take_back_left_over()
    with pytest.raises(PortHeldError, match="held by usbip-host, bound by hand: `sudo usbip unb"):
        async with rig.lending.lend(ADAPTER, "bench-3"):
            pass
    assert rig.kernel.written == []


async def test_a_device_bound_by_hand_at_the_last_moment_stays_bound(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bound() -> None:
        rig.kernel.bind("1-1")

    monkeypatch.setattr(rig.lending, "look", bound)
    with pytest.raises(PortHeldError, match="held by usbip-host, bound by hand"):
        async with rig.lending.lend(ADAPTER, "bench-3"):
            pass
    with pytest.raises(DeviceError, match="already bound to usbip-host"):
        rig.kernel.lend("1-1", 0)
    assert rig.kernel.written == []


@pytest.mark.parametrize("name", ["idVendor", "idProduct", "bcdDevice", "serial"])
async def test_another_device_at_the_place_of_a_lent_one_stays_bound(rig: Rig, name: str) -> None:
    async with started_after_a_kill(rig) as lending:
        (rig.adapter / name).write_text("1234\n")
        await lending.take_back_left_over()
        assert rig.kernel.written == []
        assert list(rig.state.iterdir()) == []


async def test_a_lent_device_that_was_unplugged_meanwhile_is_not_bound_at_its_return(
    rig: Rig,
) -> None:
    async with started_after_a_kill(rig) as lending:
        (rig.usb.sys / "bus/usb/devices/1-1").unlink()
        await lending.take_back_left_over()
        assert (rig.kernel.written, list(rig.state.iterdir())) == ([], [])


async def test_a_loan_of_before_a_boot_frees_nothing(rig: Rig) -> None:
    async with started_after_a_kill(rig):
        (rig.usb.places.proc / "sys/kernel/random/boot_id").write_text("b\n")
        lending = rig.started()
        await lending.take_back_left_over()
        await lending.close()
        assert rig.kernel.written == []


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"boot": "a", "busid": 3}'])
async def test_a_note_that_cannot_be_understood_frees_nothing(rig: Rig, text: str) -> None:
    async with started_after_a_kill(rig):
        (note,) = rig.state.iterdir()
        note.write_text(text)
        lending = rig.started()
        await lending.take_back_left_over()
        await lending.close()
        assert rig.kernel.written == []


async def test_a_device_whose_loan_cannot_be_recorded_is_not_taken_from_its_driver(
    rig: Rig,
) -> None:
    rig.state.write_text("a file in place of the folder")
    with pytest.raises(DeviceError, match="1-1 is not lent, because the loan cannot be recorded"):
        async with rig.lending.lend(ADAPTER, "bench-3"):
            pass
    assert rig.kernel.written == []
    assert rig.states() == {ADAPTER: State.AVAILABLE}


async def test_a_device_that_could_not_be_returned_is_returned_at_the_next_loan(rig: Rig) -> None:
    async with rig.lending.lend(ADAPTER, "bench-3"):
        rig.kernel.refuses = "unbind"
    assert len(list(rig.state.iterdir())) == 1
    rig.kernel.refuses = ""
    rig.kernel.written.clear()
    async with rig.lending.lend(ADAPTER, "bench-3"):
        assert rig.kernel.written[:2] == TAKEN_BACK


async def test_a_kernel_without_the_driver_is_reported_with_the_remedy(rig: Rig) -> None:
    (rig.usb.sys / "bus/usb/drivers/usbip-host/match_busid").unlink()
    with pytest.raises(DeviceError, match="sudo modprobe usbip-host"):
        async with rig.lending.lend(ADAPTER, "bench-3"):
            pass
