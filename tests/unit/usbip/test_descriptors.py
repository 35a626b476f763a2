"""Descriptors as real devices send them, made again byte for byte."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.base.errors import InvalidArgumentError
from usbshare.usbip.cdc import (
    AcmCapability,
    LineCoding,
    SerialState,
    acm_descriptors,
    acm_functions,
    parse_line_coding,
    serial_state_notification,
    take_serial_states,
)
from usbshare.usbip.descriptors import (
    ConfigurationDescriptor,
    DeviceDescriptor,
    EndpointDescriptor,
    InterfaceAssociation,
    InterfaceDescriptor,
    encode_languages,
    encode_string,
    parse_configuration,
    parse_device,
    parse_languages,
    parse_string,
)
from usbshare.usbip.errors import UsbipProtocolError

# Arduino Uno R3 (2341:0043): arduino-usbserial/Descriptors.c of the ArduinoCore-avr firmwares.
UNO_DEVICE = bytes.fromhex("12010110020000084123430001000102dc01")
UNO = bytes.fromhex(
    "09023e0002010080fa"
    "0904000001020201000524001001042402060524060001"
    "07058203080040"
    "09040100020a000000"
    "07050402400001"
    "07058302400001"
)


def control(number: int, data: int) -> InterfaceDescriptor:
    return InterfaceDescriptor(
        *(number, 2, 2, 1),
        extra=acm_descriptors(number, data),
        endpoints=(EndpointDescriptor(0x81, 3, 16, 9),),
    )


def data(number: int, endpoint: int, alternate: int = 0) -> InterfaceDescriptor:
    endpoints = (
        EndpointDescriptor(0x80 | endpoint, 2, 64),
        EndpointDescriptor(endpoint, 2, 64),
    )
    return InterfaceDescriptor(number, 0x0A, alternate=alternate, endpoints=endpoints)


def test_a_real_device_is_read_and_made_again() -> None:
    device = parse_device(UNO_DEVICE)
    assert (device.vid, device.pid, device.serial_index) == (0x2341, 0x0043, 0xDC)
    assert device.encode() == UNO_DEVICE


def test_a_real_configuration_is_read_and_made_again() -> None:
    configuration = parse_configuration(UNO)
    assert configuration.encode() == UNO
    (port,) = acm_functions(configuration)
    assert (port.control_interface, port.data_interface) == (0, 1)
    assert (port.bulk_in.address, port.bulk_out.address) == (0x83, 0x04)
    assert port.notifications is not None
    assert port.notifications.address == 0x82
    assert port.capabilities == AcmCapability.LINE_CODING | AcmCapability.SEND_BREAK


def test_a_composite_device_has_several_ports() -> None:
    made = ConfigurationDescriptor(
        2,
        (control(0, 1), data(1, 2), control(2, 3), data(3, 4)),
        (InterfaceAssociation(0, 2, 2, 2, 1), InterfaceAssociation(2, 2, 2, 2, 1)),
    )
    configuration = parse_configuration(made.encode())
    assert configuration == made
    ports = acm_functions(configuration)
    assert [(each.configuration, each.control_interface) for each in ports] == [(2, 0), (2, 2)]


def test_a_port_without_a_union_has_its_data_next_to_it() -> None:
    alone = InterfaceDescriptor(0, 2, 2, 1, endpoints=(EndpointDescriptor(0x81, 3, 16, 9),))
    (port,) = acm_functions(ConfigurationDescriptor(1, (alone, data(1, 2))))
    assert port.data_interface == 1


def test_a_port_whose_endpoints_are_in_another_setting_says_which() -> None:
    empty = InterfaceDescriptor(1, 0x0A)
    (port,) = acm_functions(ConfigurationDescriptor(1, (control(0, 1), empty, data(1, 2, 1))))
    assert (port.data_interface, port.data_alternate) == (1, 1)


def test_a_port_without_endpoints_is_none() -> None:
    assert acm_functions(ConfigurationDescriptor(1, (control(0, 1),))) == ()


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (UNO[:8], "is not 9 bytes long"),
        (UNO[:-1], "wTotalLength 62 is more than the bytes received, 61"),
        (UNO[:2] + b"\x08\0" + UNO[4:], "wTotalLength 8 is less than 9"),
        (UNO[:9] + b"\0" + UNO[10:], "descriptor at byte 9: bLength 0 is not 2 to 53"),
        (UNO[:9] + b"\xff" + UNO[10:], "descriptor at byte 9: bLength 255 is not 2 to 53"),
        (UNO[:2] + b"\x14\0" + UNO[4:18] + b"\x02\x05", "type 5: bLength 2 is less than 7"),
    ],
)
def test_a_bad_configuration_is_refused_by_name(raw: bytes, named: str) -> None:
    with pytest.raises(UsbipProtocolError) as refused:
        parse_configuration(raw)
    assert named in str(refused.value)


@given(raw=st.binary(max_size=120))
def test_any_bytes_are_a_configuration_or_refused(raw: bytes) -> None:
    head = b"\x09\x02" + len(raw).to_bytes(2, "little") + b"\x01\x01\x00\x80\x32"
    for data_ in (raw, head + raw, UNO[:9] + raw):
        with contextlib.suppress(UsbipProtocolError):
            acm_functions(parse_configuration(data_))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
def test_a_string_comes_back(text: str) -> None:
    assert parse_string(encode_string(text)) == text


def test_a_string_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="more than 126 characters"):
        encode_string("x" * 127)


@pytest.mark.parametrize("raw", [b"", b"\x03", b"\x01\x03", b"\x09\x03a", b"\x04\x02a\0"])
def test_an_invalid_string_descriptor_is_refused(raw: bytes) -> None:
    with pytest.raises(UsbipProtocolError):
        parse_string(raw)


def test_languages_come_back() -> None:
    assert parse_languages(encode_languages(0x0409, 0x0407)) == (0x0409, 0x0407)


def test_a_line_coding_comes_back() -> None:
    coding = LineCoding(250000, 2, 2, 7)
    assert coding.encode().hex() == "90d00300020207"
    assert parse_line_coding(coding.encode()) == coding
    with pytest.raises(UsbipProtocolError):
        parse_line_coding(b"123456")


def test_a_state_may_come_in_pieces_and_between_others() -> None:
    connection = bytes.fromhex("a100010000000000")
    first = serial_state_notification(0, SerialState.DCD | SerialState.DSR)
    second = serial_state_notification(0, SerialState.BREAK)
    unread, found = bytearray(), []
    for byte in connection + first + second:
        unread.append(byte)
        found += take_serial_states(unread)
    assert found == [SerialState.DCD | SerialState.DSR, SerialState.BREAK]
    assert first.hex() == "a1200000000002000300"


def test_a_device_descriptor_comes_back() -> None:
    made = DeviceDescriptor(0x1D50, 0x6018, 0xEF, 2, 1, serial_index=3)
    assert parse_device(made.encode()) == made
    with pytest.raises(UsbipProtocolError):
        parse_device(made.encode()[:17])
