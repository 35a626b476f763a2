"""Every error that a caller may handle, one class each; messages name object and value."""


class UsbshareError(Exception):
    """Base of all errors whose text is meant for people; `about` is the port or camera, if any."""

    about = ""


class InvalidArgumentError(UsbshareError):
    """A value is malformed; the text names the field."""


class NotFoundError(UsbshareError):
    """No port, camera or instance has that name."""


class PortHeldError(UsbshareError):
    """Another session has the port open for control."""


class PortLatchedError(UsbshareError):
    """An emergency stop latched the port; it must be re-armed first."""


class WrongStateError(UsbshareError):
    """What is asked does not fit the state of what it is asked of; the text says which that is."""


class LimitError(UsbshareError):
    """A limit is reached that waiting does not resolve."""


class DeviceError(UsbshareError):
    """The device is absent, cannot be opened, or failed."""


class DeviceAbsentError(DeviceError):
    """There is no device, or none that may be opened: not a failure, it may come."""


class DrainingError(UsbshareError):
    """The service is stopping and takes nothing new."""


class SessionLostError(UsbshareError):
    """The service gave up a session's stream: its client was silent, or another took over."""


class PermissionDeniedError(UsbshareError):
    """The identity is known and may not do that."""


class ConfirmationNeededError(UsbshareError):
    """The right counts only after a second factor was confirmed."""


class AuditUnavailableError(UsbshareError):
    """The audit log cannot be written, without which control is refused."""


class RulesUnavailableError(UsbshareError):
    """The host cannot read its access rules, without which it allows only stops."""


class NotSupportedError(UsbshareError):
    """The device or profile at hand cannot do that."""


class ProfileError(UsbshareError):
    """The firmware behind a port cannot do what a session asks for."""


class ConfigError(UsbshareError):
    """A configuration file, flag or environment value is wrong; exit code 2."""


class UnreadableError(ConfigError):
    """A file cannot be read, so its contents are unknown; not a mistake of its author."""


class ConnectionRefusedByPeerError(UsbshareError):
    """The other side cannot be reached or refuses this side; the text says why and what to do."""


class PeerRefusesError(ConnectionRefusedByPeerError):
    """The other side answers, but one of the two does not accept the other."""
