"""USB devices made of software, as the firmware of real ones behaves.

Standard requests: USB 2.0, chapter 9.4. Serial ports: CDC PSTN 1.2, and Arduino's CDC.cpp for
what a device does before it is configured (it stalls) and while its buffer is full (it takes
nothing, which the host sees as NAKs).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field

from usbshare.usbip.cdc import (
    AcmFunction,
    CdcRequest,
    ControlLines,
    LineCoding,
    SerialState,
    acm_functions,
    parse_line_coding,
    serial_state_notification,
)
from usbshare.usbip.descriptors import (
    ENGLISH,
    ConfigurationDescriptor,
    DeviceDescriptor,
    Kind,
    Request,
    encode_languages,
    encode_string,
)
from usbshare.usbip.errors import STALLED, TransferError
from usbshare.usbip.messages import ExportedDevice, InterfaceClass, SetupPacket, Speed

_TYPE = 0x60


@dataclass(frozen=True)
class Model:
    """All that a device says of itself; `strings` by their number."""

    device: DeviceDescriptor
    configurations: tuple[ConfigurationDescriptor, ...]
    strings: dict[int, str] = field(default_factory=dict)

    def exported(self, busid: str, devnum: int, configuration: int = 0) -> ExportedDevice:
        """Return how a server lists it, with a configuration as the kernel has chosen it."""
        chosen = [each for each in self.configurations if each.value == configuration]
        settings = chosen[0].interfaces if chosen else ()
        classes = {
            each.number: InterfaceClass(each.class_, each.subclass, each.protocol)
            for each in reversed(settings)
        }
        interfaces = tuple(classes[number] for number in sorted(classes))
        device = self.device
        return ExportedDevice(
            *(busid, int(busid.partition("-")[0]), devnum, device.vid, device.pid),
            path=f"/sys/devices/pci0000:00/0000:00:14.0/usb1/{busid}",
            speed=Speed.FULL,
            release=device.release,
            device_class=device.class_,
            device_subclass=device.subclass,
            device_protocol=device.protocol,
            configuration=configuration,
            configuration_count=len(self.configurations),
            interface_count=len(interfaces),
            interfaces=interfaces,
        )


class FakeDevice:
    """A device in a socket: answers requests, and has a queue behind each endpoint.

    What is written to OUT endpoint n is in `written[n]`; while `takes` is clear it takes nothing.
    `send` has an IN endpoint answer. `log` holds the control requests in their order.
    """

    def __init__(self, model: Model, busid: str = "1-1", devnum: int = 2) -> None:
        self.model = model
        self.configuration = model.configurations[0].value  # as the kernel chooses it
        self.busid, self.devnum = busid, devnum
        self.takes = asyncio.Event()
        self.takes.set()
        self.written: dict[int, bytearray] = defaultdict(bytearray)
        self.log: list[SetupPacket] = []
        self.stalls: set[int] = set()
        self.is_broken = False  # its stalls cannot be cleared
        self.is_frozen = False  # nothing is answered any more
        self._sent: dict[int, deque[bytes]] = defaultdict(deque)
        self._wakes: dict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self._chosen: list[ConfigurationDescriptor] = [model.configurations[0]]

    @property
    def exported(self) -> ExportedDevice:
        """What the server lists."""
        return self.model.exported(self.busid, self.devnum, self.configuration)

    def send(self, endpoint: int, data: bytes) -> None:
        """Have one packet or more ready for the host."""
        self._sent[endpoint].append(data)
        self._wakes[endpoint].set()

    def waiting_packets(self, endpoint: int) -> int:
        """Return how much the host has not read."""
        return len(self._sent[endpoint])

    async def control(self, setup: SetupPacket, data: bytes) -> bytes:
        """Answer as firmware does: a stall for what it does not know."""
        self.log.append(setup)
        if self.is_frozen:
            await asyncio.Event().wait()
        if setup.request_type & _TYPE:
            return self.class_request(setup, data)[: setup.length]
        return self._standard(setup)[: setup.length]

    async def read(self, endpoint: int, length: int) -> bytes:
        """Return what is ready, waiting for it."""
        self._check(endpoint | 0x80)
        queue, wake = self._sent[endpoint], self._wakes[endpoint]
        while not queue or self.is_frozen:
            wake.clear()
            await wake.wait()
            self._check(endpoint | 0x80)
        data = queue.popleft()
        if len(data) > length:
            queue.appendleft(data[length:])
        return data[:length]

    async def write(self, endpoint: int, data: bytes) -> int:
        """Take data once the firmware reads it."""
        self._check(endpoint)
        await self.takes.wait()
        self.written[endpoint] += data
        self.received(endpoint, data)
        return len(data)

    def class_request(self, setup: SetupPacket, data: bytes) -> bytes:
        """Stall: this device has no class."""
        del setup, data
        raise TransferError(STALLED)

    def received(self, endpoint: int, data: bytes) -> None:
        """Take note of data."""

    def halt(self, address: int) -> None:
        """Stall an endpoint until the host clears it."""
        self.stalls.add(address)
        self._wakes[address & 0x0F].set()

    def _check(self, address: int) -> None:
        known = [
            each.address
            for configuration in self._chosen
            for setting in configuration.interfaces
            for each in setting.endpoints
        ]
        if address in self.stalls or address not in known:
            raise TransferError(STALLED)

    def _standard(self, setup: SetupPacket) -> bytes:
        match setup.request:
            case Request.GET_DESCRIPTOR:
                return self._descriptor(setup.value >> 8, setup.value & 0xFF)
            case Request.SET_CONFIGURATION:
                self._configure(setup.value)
                return b""
            case Request.GET_CONFIGURATION:
                return bytes((self.configuration,))
            case Request.SET_INTERFACE:
                return b""
            case Request.GET_STATUS:
                return bytes(2)
            case Request.CLEAR_FEATURE:
                if not self.is_broken:
                    self.stalls.discard(setup.index)
                return b""
        raise TransferError(STALLED)

    def _descriptor(self, kind: int, index: int) -> bytes:
        if kind == Kind.DEVICE:
            return self.model.device.encode()
        if kind == Kind.CONFIGURATION and index < len(self.model.configurations):
            return self.model.configurations[index].encode()
        if kind == Kind.STRING and index == 0 and self.model.strings:
            return encode_languages(ENGLISH)
        if kind == Kind.STRING and index in self.model.strings:
            return encode_string(self.model.strings[index])
        raise TransferError(STALLED)

    def _configure(self, value: int) -> None:
        chosen = [each for each in self.model.configurations if each.value == value]
        if not chosen and value:
            raise TransferError(STALLED)
        self.configuration, self._chosen = value, chosen
        self.stalls.clear()


class FakeAcmDevice(FakeDevice):
    """A serial port: what it was told of its line, and what it tells; echoes if `echoes`."""

    def __init__(self, model: Model, busid: str = "1-1", devnum: int = 2) -> None:
        super().__init__(model, busid, devnum)
        self.coding = LineCoding()
        self.lines = ControlLines(0)
        self.breaks: list[int] = []
        self.echoes = False
        self.has_line = True

    @property
    def port(self) -> AcmFunction:
        """The first serial port of the configuration in force, of the first one if none is."""
        ports = [p for each in self.model.configurations for p in acm_functions(each)]
        return next((p for p in ports if p.configuration == self.configuration), ports[0])

    @property
    def received_bytes(self) -> bytes:
        """What the host wrote."""
        return bytes(self.written[self.port.bulk_out.number])

    def say(self, data: bytes) -> None:
        """Send to the host."""
        self.send(self.port.bulk_in.number, data)

    def tell(self, state: SerialState) -> None:
        """Notify the host of the lines or of what befell the line."""
        endpoint = self.port.notifications
        assert endpoint is not None
        self.send(endpoint.number, serial_state_notification(self.port.control_interface, state))

    def received(self, endpoint: int, data: bytes) -> None:
        """Echo, as a board that is wired so."""
        if self.echoes and endpoint == self.port.bulk_out.number:
            self.say(data)

    def class_request(self, setup: SetupPacket, data: bytes) -> bytes:
        """Answer the requests of a serial port."""
        if not self.has_line:
            raise TransferError(STALLED)
        match setup.request:
            case CdcRequest.SET_LINE_CODING:
                self.coding = parse_line_coding(data)
            case CdcRequest.GET_LINE_CODING:
                return self.coding.encode()
            case CdcRequest.SET_CONTROL_LINE_STATE:
                self.lines = ControlLines(setup.value & 3)
            case CdcRequest.SEND_BREAK:
                self.breaks.append(setup.value)
            case _:
                raise TransferError(STALLED)
        return b""
