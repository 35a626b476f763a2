"""What a change makes of a control, the same for every source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from usbshare.base.errors import InvalidArgumentError, NotFoundError, NotSupportedError
from usbshare.camera_svc.capture.frame_source import Control, ControlChange


def changed(controls: Iterable[Control], change: ControlChange) -> Control:
    """Return the control as it shall be.

    Raises NotFoundError, InvalidArgumentError, or NotSupportedError if it cannot be automatic.
    """
    control = _named(controls, change.name)
    value = control.value if change.value is None else change.value
    if not control.minimum <= value <= control.maximum:
        bounds = f"{control.minimum:g} to {control.maximum:g}"
        raise InvalidArgumentError(f"{control.name} must be {bounds}, not {value:g}")
    automatic = change.automatic
    if automatic is None:
        automatic = control.automatic and change.value is None
    if automatic and not control.can_be_automatic:
        raise NotSupportedError(f"this camera cannot choose {control.name} automatically")
    return replace(control, value=value, automatic=automatic)


def _named(controls: Iterable[Control], name: str) -> Control:
    known = {control.name: control for control in controls}
    if name not in known:
        names = ", ".join(known) or "none"
        raise NotFoundError(f"this camera has no control '{name}'; it has {names}")
    return known[name]
