"""What usb-svc brings to the harness: its devices and their servicer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from usbshare.authorization.rights import ResourceKind
from usbshare.base.paths import state_folder
from usbshare.hosts.instance import Kind
from usbshare.line.usb.device import parse_selector
from usbshare.service import harness
from usbshare.service.harness import Host, Parts
from usbshare.usb.v1.usb_pb2_grpc import add_UsbServiceServicer_to_server
from usbshare.usb_svc.api.metrics import UsbCollector
from usbshare.usb_svc.api.servicer import SERVICE_NAME, UsbServicer
from usbshare.usb_svc.export.lending import Lending
from usbshare.usb_svc.export.loan_notes import LoanNotes
from usbshare.usb_svc.export.totals import Totals
from usbshare.usb_svc.export.usbip_host import UsbipHost
from usbshare.usb_svc.settings import PROGRAM, Places, Settings


async def serve(settings: Settings, insecure: bool) -> None:
    """Serve until SIGINT or SIGTERM; raises ConfigError when it cannot start."""
    await harness.serve(PROGRAM, settings, partial(_parts, settings), insecure=insecure)


@asynccontextmanager
async def _parts(settings: Settings, host: Host) -> AsyncIterator[Parts]:
    guard, table = host.guard, settings.usb
    listed = None if table.devices is None else [parse_selector(each) for each in table.devices]
    host.bind()  # one service at a time has the devices
    places = Places.of_system()
    notes = LoanNotes(state_folder() / PROGRAM.name, places.proc)
    await harness.load_in_time(notes.load, notes.nobody_knows)
    lending = Lending(places, UsbipHost(places.sys), notes, listed, lambda: guard.rulebook.policy)
    await lending.take_back_left_over()
    await lending.look()
    guard.offers(ResourceKind.DEVICE, lambda: [each.id for each in lending.devices])
    totals = Totals()
    servicer = UsbServicer(lending, guard.gate, guard.audit, table.link_timeout_s, totals)
    try:
        yield Parts(
            service_name=SERVICE_NAME,
            add_to_server=partial(add_UsbServiceServicer_to_server, servicer),
            described=lambda: f"USB devices: {len(lending.devices)}",
            collectors=[UsbCollector(lambda: lending.devices, totals)],
            tasks=lambda: {
                "follow_devices": lending.follow(),
                "announce": harness.announce(host.announcing(settings.discovery, Kind.USB)),
            },
            close=servicer.close,
        )
    finally:
        await lending.close()
