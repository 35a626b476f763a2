"""Whether another computer's USB/IP server has a port's device, by its list, without attaching."""

from __future__ import annotations

from usbshare.base.checkup import Judgement, failure, fine, warning
from usbshare.line.usb.device import shown
from usbshare.line.usbip.chips import has_own_driver, why_no_port
from usbshare.line.usbip.source import parse_source
from usbshare.usbip.client import connect
from usbshare.usbip.errors import UsbipError

_MOST_TOLD = 16


async def judge_remote(source: str) -> Judgement:
    """Check whether the device of an `usbip://` source is exported."""
    wanted = parse_source(source)
    try:
        listed = await (await connect(wanted.host, wanted.port)).devices()
    except UsbipError as error:
        remedy = "is the server running, and does its firewall let this computer in?"
        return failure(f"{wanted.server}: {error}", remedy)
    found = [each for each in listed if wanted.matches(each)]
    if not found:
        there = [f"{shown(e.busid)} {e.vid:04x}:{e.pid:04x}" for e in listed[:_MOST_TOLD]]
        return warning(
            f"{wanted.server} does not list {wanted.busid or wanted.ids} "
            f"(listed: {', '.join(there) or 'none'})",
            "fine if this service is using it now: some servers list only free devices. "
            "Otherwise export it there, for example with `usbip bind -b BUSID`",
        )
    if len(found) > 1 and wanted.serial is None:
        names = ", ".join(shown(each.busid) for each in found)
        return failure(f"{wanted.server} has {len(found)} of them: {names}", "name one of these")
    if all(map(has_own_driver, found)):
        why = why_no_port(found[0], frozenset(), wanted.host, wanted.port)
        return failure(why, "attach it to the kernel as described, or name another source")
    return fine(f"{wanted.server} exports {', '.join(shown(each.busid) for each in found)}")
