"""Errors as messages of page.proto."""

from __future__ import annotations

from usbshare.base import errors
from usbshare.base.errors import UsbshareError
from usbshare.client.serial.link_state import LinkLostError
from usbshare.page.v1 import page_pb2 as pb

_LAYERS: dict[type[Exception], pb.Layer.ValueType] = {
    errors.InvalidArgumentError: pb.LAYER_REQUEST,
    errors.NotFoundError: pb.LAYER_REQUEST,
    errors.ConfigError: pb.LAYER_GATEWAY,
    errors.ConnectionRefusedByPeerError: pb.LAYER_NETWORK,
    errors.PeerRefusesError: pb.LAYER_HOST,
    errors.SessionLostError: pb.LAYER_NETWORK,
    errors.DeviceError: pb.LAYER_MACHINE,
    errors.DeviceAbsentError: pb.LAYER_MACHINE,
    errors.NotSupportedError: pb.LAYER_MACHINE,
    LinkLostError: pb.LAYER_NETWORK,
}


def failure(error: UsbshareError | LinkLostError) -> pb.Failure:
    """Return an error as a page displays it."""
    return pb.Failure(
        text=str(error),
        needs_second_factor=isinstance(error, errors.ConfirmationNeededError),
        layer=_LAYERS.get(type(error), pb.LAYER_HOST),
        is_held_by_other=isinstance(error, errors.PortHeldError),
    )
