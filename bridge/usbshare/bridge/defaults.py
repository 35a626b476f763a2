"""What counts where command line and environment say nothing: `[bridge]`, then what was used last.

Settings are validated by pydantic, which takes its time to import: they are read when needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from usbshare.base.addresses import split_host_port
from usbshare.base.config_search import find_config
from usbshare.base.deadline import in_time
from usbshare.base.errors import ConfigError, InvalidArgumentError
from usbshare.bridge.state import KINDS, LastUsed, Warn, bridge_state
from usbshare.rpc.channel import Target, parse_target

if TYPE_CHECKING:
    from usbshare.bridge.settings import Settings

T = TypeVar("T")
LAST_TIMEOUT_S = 5.0


class Defaults:
    """The configuration and the state, read once each, at the first question.

    Every question raises ConfigError when the configuration is wrong. What is not known is empty.
    """

    def __init__(self, asked: Path | None, warn: Warn) -> None:
        self._asked = asked
        self._warn = warn

    @cached_property
    def path(self) -> Path | None:
        """The configuration file, None without one."""
        return self._in_time(lambda: find_config(self._asked))

    @cached_property
    def settings(self) -> Settings:
        """The whole configuration, valid."""
        from usbshare.bridge.settings import load_settings  # noqa: PLC0415 - see the top

        return self._in_time(lambda: load_settings(self.path))

    @property
    def settings_if_any(self) -> Settings | None:
        """The whole configuration, None without one."""
        return self.settings if self.path else None

    @cached_property
    def table(self) -> Mapping[str, Any]:
        """What `[bridge]` sets."""
        if self.path is None:
            return {}
        return self.settings.bridge.model_dump(mode="json", exclude_none=True)

    @cached_property
    def last(self) -> LastUsed:
        """What was used last; nothing where `remember` is false."""
        return self._read_last() if self.remembers else LastUsed()

    def check(self) -> None:
        """Raise the ConfigError now that any question would raise."""
        _ = self.table

    @property
    def remembers(self) -> bool:
        """Whether the state is read and written."""
        return bool(self.table.get("remember", True))

    @property
    def target(self) -> str:
        """The target, as a person wrote it."""
        return self._said("target") or self.last.name or self.last.target

    @property
    def says_target(self) -> bool:
        """Whether the configuration has a target."""
        return bool(self._said("target"))

    @property
    def repeats_target(self) -> bool:
        """Whether the target is that of the last time."""
        return not self.says_target and bool(self.last.target)

    @property
    def as_before(self) -> str:
        """How to say what is repeated: `as last time`."""
        return f"as {self.last.origin}" if self.last.origin else "as last time"

    @property
    def last_host(self) -> Target | None:
        """Where the host that was last found by name was; None unless a certificate can prove it.

        Another host may have the address by now.
        """
        last = self.last
        if not (self.repeats_target and last.name and last.tls_name):
            return None
        return replace(parse_target(last.target), tls_name=last.tls_name, name=last.name)

    @property
    def bundle(self) -> Path | None:
        """The client certificate."""
        said = self._said("bundle")
        return Path(said).expanduser() if said else None

    @property
    def buffered(self) -> str:
        """How far motion lines are answered ahead."""
        return self._said("buffered")

    @property
    def virtual_port(self) -> tuple[str, str] | None:
        """The kind of virtual port that is configured and its value: `("vcom", "COM10")`."""
        said = ((kind, self._said(kind)) for kind in KINDS)
        return next((each for each in said if each[1]), None)

    def configured_port(self, target: str) -> str:
        """Return the configured port's id, unless the configuration is about another target."""
        said = self._said("target")
        return self._said("port") if not said or _are_same(target, said) else ""

    def repeated_port(self, target: str) -> str:
        """Return the id last used, if it was with that target and none is configured for it."""
        used = (self.last.name, self.last.target)
        is_of_target = any(_are_same(target, each) for each in used)
        return self.last.port if is_of_target and not self.configured_port(target) else ""

    def is_last_host(self, target: Target) -> bool:
        """Return whether the host is the one last used, whichever of its services is meant."""
        last = self.last
        if last.name and last.name.casefold() == target.name.casefold():
            return True
        return bool(last.target) and split_host_port(last.target, 0)[0] == target.host

    def repeated_camera(self, target: Target) -> str:
        """Return the id of the camera last shown, if it is of that host."""
        return self.last.camera if self.is_last_host(target) else ""

    def _said(self, key: str) -> str:
        return str(self.table.get(key, ""))

    def _in_time(self, read: Callable[[], T]) -> T:
        from usbshare.base.settings_deadline import (  # noqa: PLC0415 - see the top
            asked_path,
            read_in_time,
        )

        return read_in_time(asked_path(self._asked), read, self._warn)

    def _read_last(self) -> LastUsed:
        """Return what was used last, nothing where that does not answer in time."""
        state, what = bridge_state(self._warn), "the options used last"
        try:
            return in_time(what, state.load, self._warn, LAST_TIMEOUT_S)
        except TimeoutError:
            self._warn(f"cannot read {what}: no answer within {LAST_TIMEOUT_S:g} s")
            return LastUsed()


class UrgentDefaults(Defaults):
    """For a stop, which must neither wait for pydantic nor fail for a mistake in the file."""

    @cached_property
    def path(self) -> Path | None:
        """The configuration file, None without one."""
        try:
            return find_config(self._asked)
        except ConfigError as error:
            self._warn(f"{error}; continuing without it")
            return None

    @cached_property
    def settings(self) -> Settings:
        """The configuration, the defaults where it is wrong."""
        from usbshare.bridge.settings import Settings, load_settings  # noqa: PLC0415 - see the top

        try:
            return load_settings(self.path)
        except ConfigError as error:
            self._warn(f"{error}; continuing without it")
            return Settings()

    @cached_property
    def table(self) -> Mapping[str, Any]:
        """What `[bridge]` sets, as far as it can be read."""
        if self.path is None:
            return {}
        import tomllib  # noqa: PLC0415 - only where there is a file

        try:
            found = tomllib.loads(self.path.read_text(encoding="utf-8-sig")).get("bridge")
        except (OSError, ValueError, RecursionError) as error:
            self._warn(f"{self.path}: {error}; continuing without it")
            return {}
        return found if isinstance(found, dict) else {}

    def _said(self, key: str) -> str:
        said = self.table.get(key)
        return said if isinstance(said, str) else ""


def _are_same(one: str, other: str) -> bool:
    return bool(one and other) and _canonical(one) == _canonical(other)


def _canonical(text: str) -> str:
    try:
        return str(parse_target(text)).casefold()
    except InvalidArgumentError:
        return text.strip().casefold()
