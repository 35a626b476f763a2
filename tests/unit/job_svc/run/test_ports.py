"""The ports of a serial service that comes and goes."""

from __future__ import annotations

import pytest

from fakes.remote import REMOTE
from usbshare.base.errors import DeviceError
from usbshare.client.serial.messages import RemotePort
from usbshare.job_svc.run.ports import SILENT_LOOKS, Ports


async def test_a_serial_service_that_is_back_is_asked_at_once_and_one_that_answers_is_not() -> None:
    answers: list[DeviceError | list[RemotePort]] = [DeviceError("nothing listens"), [REMOTE]]

    async def list_ports() -> list[RemotePort]:
        answer = answers.pop(0)
        if isinstance(answer, DeviceError):
            raise answer
        return answer

    ports = Ports(list_ports, list)
    await ports.look_again()
    with pytest.raises(DeviceError, match="unknown: nothing listens"):
        ports.resolve("", sorted)
    await ports.look_again()
    assert ports.resolve("", sorted) == REMOTE.id
    await ports.look_again()  # there is no third answer


async def test_services_that_start_together_warn_of_nothing_and_a_silent_one_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    is_silent = True

    async def list_ports() -> list[RemotePort]:
        if is_silent:
            raise DeviceError("nothing listens")
        return [REMOTE]

    ports = Ports(list_ports, list)
    for _ in range(SILENT_LOOKS - 1):
        await ports.look()
    assert caplog.messages == []
    for _ in range(3):
        await ports.look()
    assert caplog.messages == ["serial-svc does not report its ports: nothing listens"]
    is_silent = False
    with caplog.at_level("INFO"):
        await ports.look()
    assert caplog.messages[1:] == ["serial-svc reports its ports again"]
