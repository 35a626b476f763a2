"""The `audit` commands of every service: whether the log is complete, and its contents."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

import click

from usbshare.audit.chain import Tip
from usbshare.audit.files import LogFiles, log_at, logs_in, snapshot
from usbshare.audit.log import audit_folder
from usbshare.audit.log_registry import Sighting, sightings_in
from usbshare.audit.reader import Entry, Follower, Selection, as_text, read_logs
from usbshare.audit.verification import Verdict, verify_log
from usbshare.base.errors import ConfigError
from usbshare.base.paths import SITE_FOLDER, config_folder
from usbshare.service.cli import teller
from usbshare.service.command_group import CommandGroup
from usbshare.service.folders_in_time import Folders

_POLL_S = 0.25
_BATCH = 500
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ANCHOR = re.compile(r"(?:([A-Za-z0-9_-]+)=)?(\d{1,18}):([0-9a-f]{64})")
_FILE = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help=(
        "A log in another place, NAME.jsonl; the files beside it belong to it. [default: all "
        "logs of this host]"
    ),
)


def audit_commands(service: str) -> click.Group:
    """Return the commands; `service` is the one that an anchor without a name is about."""

    @click.group(cls=CommandGroup)
    def audit() -> None:
        """Show who did what and when, and whether the log is complete."""

    @audit.command()
    @_FILE
    @click.option(
        "--anchor",
        "anchors",
        metavar="[NAME=]SEQ:HASH",
        type=_Anchor(),
        multiple=True,
        help="A line recorded earlier, as verify prints it, which must still exist.",
    )
    @click.pass_context
    def verify(
        context: click.Context, path: Path | None, anchors: tuple[tuple[str, Tip], ...]
    ) -> None:
        """Find changed, missing and reordered lines; exit code 1 if there are any.

        The chain proves nothing against an attacker who can rewrite all of it: keep the printed
        anchor elsewhere, and pass it to a later verify.
        """
        folders = Folders(teller(service))
        if path is None and folders.run(_all_are_missing):
            click.echo(
                f"there is no audit log in {audit_folder()}, although this site has had "
                "services: all logs and their head files are missing"
            )
            context.exit(1)
        logs, seen = folders.run(lambda: _with_missing(_logs(path), path, folders.moved))
        named = [(name or (logs[0].name if path else service), tip) for name, tip in anchors]
        if unknown := {name for name, _ in named} - {each.name for each in logs}:
            raise ConfigError(f"there is no audit log {', '.join(sorted(unknown))}")
        results = [
            _verify(
                each,
                tuple(tip for name, tip in named if name == each.name),
                [sighting for sighting in seen if sighting.log == each.name],
                folders,
            )
            for each in logs
        ]
        context.exit(0 if all(results) else 1)

    @audit.command()
    @_FILE
    @click.option("--follow", "-f", is_flag=True, help="Keep printing new lines.")
    @click.option(
        "--who", help=("Only lines of this identity: a name, a URI, or a pattern with *.")
    )
    @click.option("--port", help="Only lines of this port or camera; * matches anything.")
    @click.option(
        "--since", type=_Since(), metavar="2h|DATE", help=("Only lines from this time on.")
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
    def show(
        path: Path | None,
        follow: bool,
        who: str | None,
        port: str | None,
        since: datetime | None,
        as_json: bool,
    ) -> None:
        """Print the recorded events of all services, in order of time."""
        folders, selection = Folders(teller(service)), Selection(who, port, since)
        site = folders.run(_own_site)
        with suppress(KeyboardInterrupt):
            for entry in _shown(path, selection, folders, follow=follow):
                click.echo(json.dumps(entry) if as_json else as_text(entry, site, _local))

    return audit


class _Anchor(click.ParamType[tuple[str, Tip]]):
    name = "anchor"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Tip]:
        """Return the log's name, empty if none is given, and the tip."""
        found = _ANCHOR.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is not a number, a colon and 64 hex digits", param, ctx)
        return found[1] or "", Tip(int(found[2]), found[3])


class _Since(click.ParamType[datetime]):
    name = "since"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return a point in time: a duration ago, or a local date or time."""
        if isinstance(value, datetime):
            return value
        if found := re.fullmatch(r"(\d{1,6})([smhdw])", value):
            return datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])})
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError as error:
            what = f"{value!r} is neither a duration such as 90s, 30m, 2h, 7d nor a date"
            raise click.BadParameter(what, ctx, param) from error


def _logs(path: Path | None) -> list[LogFiles]:
    if path is not None:
        found = [log_at(path)] if path.name.endswith(".jsonl") else []
        if not found or not (found[0].current.exists() or found[0].head.exists()):
            raise ConfigError(f"{path} is not an audit log (NAME.jsonl)")
        return found
    folder = audit_folder()
    if not (logs := logs_in(folder)):
        raise ConfigError(f"there is no audit log in {folder}")
    return logs


def _all_are_missing() -> bool:
    return not logs_in(audit_folder()) and (config_folder() / SITE_FOLDER / "id").exists()


def _with_missing(
    logs: list[LogFiles], path: Path | None, moved: Callable[[], None]
) -> tuple[list[LogFiles], list[Sighting]]:
    """Return the logs, including those known only from others, and their mutual records."""
    if path is not None:
        return logs, []
    seen: list[Sighting] = []
    for files in logs:
        try:
            with snapshot(files) as held:
                for sighting in sightings_in(held):
                    moved()
                    seen.append(sighting)
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}") from error
    names = {each.name for each in logs}
    missing = sorted({sighting.log for sighting in seen} - names)
    return logs + [LogFiles(audit_folder(), name) for name in missing], seen


def _verify(
    files: LogFiles, anchors: tuple[Tip, ...], seen: list[Sighting], folders: Folders
) -> bool:
    """Print what is found; return whether the log is whole."""

    def verified() -> tuple[Verdict, int]:
        with snapshot(files) as held:
            return verify_log(held, anchors, seen, folders.moved), len(held.files)

    try:
        verdict, count = folders.run(verified)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    for text in (*verdict.remarks, *verdict.faults):
        click.echo(f"{files.name}: {text}")
    click.echo(f"{files.name}: {_summary(verdict, count)}")
    return not verdict.faults


def _summary(verdict: Verdict, files: int) -> str:
    lines = f"{verdict.lines} line{'s' * (verdict.lines != 1)} in {files} file{'s' * (files != 1)}"
    if verdict.faults:
        return f"BROKEN: {lines}"
    return f"whole: {lines}, {verdict.first} to {verdict.tip.seq}; anchor {verdict.tip}"


def _shown(
    path: Path | None, selection: Selection, folders: Folders, *, follow: bool
) -> Iterator[Entry]:
    if follow:
        return _followed(path, selection, folders)
    return _entries(folders.run(lambda: _logs(path)), selection, folders)


def _entries(logs: list[LogFiles], selection: Selection, folders: Folders) -> Iterator[Entry]:
    entries = read_logs(logs, selection, folders.moved)
    try:
        # The reader of what is printed may take any time.
        while batch := folders.run(lambda: list(islice(entries, _BATCH))):
            yield from batch
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error


def _followed(path: Path | None, selection: Selection, folders: Folders) -> Iterator[Entry]:
    """Yield existing and new lines until cancelled, including those of logs created later."""
    logs = folders.run(lambda: logs_in(audit_folder()) if path is None else _logs(path))
    shown: dict[str, int] = {}
    with ExitStack() as stack:
        followers = folders.run(lambda: _all_started(logs, stack))
        for entry in _entries(logs, selection, folders):
            shown[entry["log"]] = max(shown.get(entry["log"], 0), entry.get("seq", 0))
            yield entry
        while True:
            for follower in followers:
                for entry in folders.run(partial(_news_of, follower)):
                    if entry.get("seq", 0) > shown.get(entry["log"], 0) and selection.takes(entry):
                        yield entry
            time.sleep(_POLL_S)
            if path is None:
                known = {each.name for each in followers}
                there = folders.run(lambda: logs_in(audit_folder()))
                begun = [each for each in there if each.name not in known]
                followers += folders.run(partial(_all_started, begun, stack))


def _news_of(follower: Follower) -> list[Entry]:
    return list(follower.news())


def _all_started(logs: list[LogFiles], stack: ExitStack) -> list[Follower]:
    return [_started(each, stack) for each in logs]


def _started(files: LogFiles, stack: ExitStack) -> Follower:
    follower = Follower(files)
    stack.callback(follower.close)
    follower.start()
    return follower


def _own_site() -> str:
    """Return the id of this computer's site, empty if it has none."""
    with suppress(OSError, UnicodeDecodeError):
        return (config_folder() / SITE_FOLDER / "id").read_text(encoding="ascii").strip()
    return ""


def _local(moment: datetime) -> datetime:
    return moment.astimezone()
