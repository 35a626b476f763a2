"""Commands that use the settings and the state of this computer, whose disk may hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from usbshare.base.deadline import Watched
from usbshare.base.errors import ConfigError
from usbshare.base.paths import config_folder, state_folder
from usbshare.base.settings_deadline import SETTINGS_TIMEOUT_S

T = TypeVar("T")


class Folders:
    """Runs work on the folders of this computer, with a message and for at most 30 s.

    Work that takes long for another reason calls `moved`.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._what = f"{config_folder()} and {state_folder()}"
        self._watched = Watched(self._what, tell, SETTINGS_TIMEOUT_S)
        self.moved = self._watched.moved

    def run(self, work: Callable[[], T]) -> T:
        """Return what the work returns; raises ConfigError where a folder does not answer."""
        try:
            return self._watched.run(work)
        except TimeoutError as error:
            raise ConfigError(
                f"{self._what}: no answer within {SETTINGS_TIMEOUT_S:g} s: fix their disk, or "
                "name another place with USBSHARE_HOME, then try again"
            ) from error


class FoldersCommand(click.Command):
    """A command that does nothing but work on these folders; it must not wait for anything else."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; reports on stderr what it waits for."""
        folders = Folders(lambda text: click.echo(f"{ctx.find_root().info_name}: {text}", err=True))
        return folders.run(lambda: super(FoldersCommand, self).invoke(ctx))
