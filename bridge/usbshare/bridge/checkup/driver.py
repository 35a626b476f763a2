"""Check of what offers the virtual port, by the kind that is asked for."""

from __future__ import annotations

import os
import socket
import sys

from usbshare.base.checkup import Judgement, Verdict, failure, fine, warning
from usbshare.base.threads import in_thread
from usbshare.bridge.checkup.context import Subject
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress, loopback_address
from usbshare.bridge.local_ports.usb_address import UsbAddress
from usbshare.usbip.vhci.attach import PlugPlaces, VhciError, require_plug

if sys.platform == "win32":
    from usbshare.bridge.checkup.driver_com0com import judge_driver as judge_vcom
else:
    from usbshare.bridge.checkup.driver_pty import judge_driver as judge_vcom

_TAKEN = "another usbshare program"


async def judge_virtual_port(subject: Subject) -> Judgement:
    """Check whether the virtual port can be made."""
    kind, value = subject.virtual_port or ("vcom", "")
    if kind == "usb_port":
        return await in_thread(judge_usb_port, value)
    if kind != "vcom":
        return judge_address(loopback_address(value, 0))
    judgement = await in_thread(judge_vcom, value)
    is_taken = judgement.verdict is Verdict.FAILURE and judgement.measured.startswith(_TAKEN)
    if is_taken and subject.is_bridged_from_here:
        return warning(judgement.measured, "nothing, if this is the bridge that you want to use")
    return judgement


def judge_usb_port(value: str, places: PlugPlaces | None = None) -> Judgement:
    """Check whether a USB port can be plugged in; blocks."""
    address = UsbAddress.parse(value).listens_at
    if address is not None:
        return judge_address(address)
    try:
        who = require_plug(places or PlugPlaces.of_system())
    except VhciError as error:
        what, _, remedy = str(error).partition(": ")
        return failure(what, remedy)
    return fine(f"a USB port can be plugged in, {who}")


def judge_address(address: LoopbackAddress) -> Judgement:
    """Check whether a program of this computer can be waited for there."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        socket.create_server((address.host, address.port), family=family).close()
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        return failure(f"cannot listen at {address} ({reason})", "choose another port")
    return fine(f"{address} is free")
