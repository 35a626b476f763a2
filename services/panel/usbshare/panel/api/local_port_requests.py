"""Local ports: unpack, one call, pack."""

from __future__ import annotations

from collections.abc import Mapping

from usbshare.base.errors import InvalidArgumentError
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.host_requests import require_local
from usbshare.panel.api.json_text import text
from usbshare.panel.api.pack_machine import machine_key
from usbshare.panel.api.requests import Handler
from usbshare.panel.api.stop_requests import key_of
from usbshare.panel.hosts.fleet import Fleet
from usbshare.panel.local_ports.local_ports import LocalPorts, PortView
from usbshare.panel.local_ports.wish import PortKind, PortState, Wish
from usbshare.panel.machines.machines import Machines
from usbshare.panel.socket import Page
from usbshare.rpc.wire_time import timestamp_of

KINDS = {
    pb.LOCAL_PORT_KIND_SERIAL: PortKind.SERIAL,
    pb.LOCAL_PORT_KIND_TCP: PortKind.TCP,
    pb.LOCAL_PORT_KIND_RFC2217: PortKind.RFC2217,
    pb.LOCAL_PORT_KIND_USB: PortKind.USB,
}
_NUMBERS = {kind: number for number, kind in KINDS.items()}
_STATES = {
    PortState.STARTING: pb.LOCAL_PORT_STATE_STARTING,
    PortState.READY: pb.LOCAL_PORT_STATE_READY,
    PortState.FAILED: pb.LOCAL_PORT_STATE_FAILED,
}
_OVER_TCP = frozenset({PortKind.TCP, PortKind.RFC2217})
_MOST_PORT = 65535


def local_port_handlers(
    local_ports: LocalPorts, fleet: Fleet, machines: Machines
) -> Mapping[str, Handler]:
    """Return the handlers of local ports."""

    async def start(page: Page, asked: pb.StartLocalPort, request_id: int) -> pb.Answer:
        require_local(page)
        key = key_of(asked.machine)
        machines.get(key)
        kind = KINDS.get(asked.kind)
        if kind is None:
            raise InvalidArgumentError("startLocalPort.kind must be one of LocalPortKind")
        wish = Wish(
            "",
            key[0],
            fleet.followed(key[0]).entry.instance.name,
            key[1],
            kind,
            _where(kind, asked),
            asked.is_buffered,
            asked.is_kept,
        )
        return pb.Answer(local_port=_message(await local_ports.add(wish)))

    async def stop(page: Page, asked: pb.StopLocalPort, request_id: int) -> pb.Answer:
        require_local(page)
        await local_ports.remove(asked.id)
        return pb.Answer()

    async def keep(page: Page, asked: pb.KeepLocalPort, request_id: int) -> pb.Answer:
        require_local(page)
        await local_ports.keep(asked.id, is_kept=asked.is_kept)
        return pb.Answer()

    return {"start_local_port": start, "stop_local_port": stop, "keep_local_port": keep}


def local_port_text(view: PortView) -> str:
    """Return a LocalPort as JSON."""
    return text(_message(view))


def _message(view: PortView) -> pb.LocalPort:
    wish = view.wish
    return pb.LocalPort(
        id=wish.id,
        machine=machine_key((wish.host, wish.port_id)),
        host_name=wish.host_name,
        kind=_NUMBERS[wish.kind],
        is_buffered=wish.is_buffered,
        state=_STATES[view.state],
        reason=view.reason,
        place=view.place,
        is_kept=wish.is_kept,
        start_time=timestamp_of(wish.unix_s),
        is_open=view.is_open,
    )


def _where(kind: PortKind, asked: pb.StartLocalPort) -> str:
    if kind in _OVER_TCP:
        if asked.tcp_port > _MOST_PORT:
            raise InvalidArgumentError(f"tcpPort must be 0 to {_MOST_PORT}, not {asked.tcp_port}")
        return f"127.0.0.1:{asked.tcp_port}"
    if asked.name and not asked.name.isprintable():
        raise InvalidArgumentError("name has characters that cannot be printed")
    return asked.name
