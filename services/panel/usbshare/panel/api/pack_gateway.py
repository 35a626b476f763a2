"""The gateway itself as page.proto has it."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from usbshare.base.version import usbshare_version
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.json_text import text
from usbshare.rpc.tls import ClientBundle
from usbshare.rpc.wire_time import timestamp
from usbshare.trust.certificates import uris


@dataclass(frozen=True, slots=True)
class GatewayView:
    """What pages show of the gateway's computer.

    `problem`: why it has no usable certificate; `preselected`: a host's key, a port, and why.
    """

    bundle: ClientBundle | None
    problem: str = ""
    preselected: tuple[str, str, str] = ("", "", "")


def gateway_text(view: GatewayView) -> str:
    """Return a Gateway as JSON."""
    message = pb.Gateway(
        version=usbshare_version(),
        name=socket.gethostname(),
        certificate_problem=view.problem,
        local_port_kinds=[
            pb.LOCAL_PORT_KIND_SERIAL,
            pb.LOCAL_PORT_KIND_TCP,
            pb.LOCAL_PORT_KIND_RFC2217,
        ],
    )
    if (bundle := view.bundle) is not None:
        message.identity = next(iter(uris(bundle.certificate)), "")
        message.site = bundle.site
        message.certificate_end_time.CopyFrom(timestamp(bundle.expires))
    host, port_id, why = view.preselected
    if host:
        message.preselected.CopyFrom(pb.Preselected(host=host, port_id=port_id, text=why))
    return text(message)
