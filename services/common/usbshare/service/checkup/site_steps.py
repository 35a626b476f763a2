"""The doctor's steps about a service's configuration and site."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from usbshare.base.checkup import Judgement, Step, failure, fine
from usbshare.base.config import Table, load_config
from usbshare.base.config_search import find_config
from usbshare.base.errors import ConfigError
from usbshare.base.host_names import host_names
from usbshare.base.threads import in_thread
from usbshare.service.checkup import host
from usbshare.trust.authorities import KEY_FILE, NEXT_KEY_FILE
from usbshare.trust.certificate_checks import judge_key_rights
from usbshare.trust.site import Site

TableT = TypeVar("TableT", bound=Table)


def read_settings(config: Path | None, model: type[TableT]) -> tuple[TableT, Judgement]:
    """Return the settings and a finding about their file: a bad one is not an error here."""
    try:
        if path := find_config(config):
            return load_config(path, model), fine(f"{path}: correct")
    except ConfigError as error:
        return model(), failure(str(error), "fix it: docs/operations.md lists every key")
    return model(), fine("no configuration file")


def site_steps(configuration: Judgement, site: Site, names: list[str]) -> Iterator[Step]:
    """Yield the checks in their order; `names`: more names and addresses of the host."""
    now = datetime.now(UTC)
    authority_keys = (site.home / KEY_FILE, site.home / NEXT_KEY_FILE)
    bundles = (site.client_bundle, site.host_bundle, site.job_bundle)
    yield threaded_step("configuration", lambda: configuration)
    yield threaded_step("site authority", partial(host.judge_authority, site, now))
    yield threaded_step(
        "host certificate", lambda: host.judge_host_certificate(site, host_names(names), now)
    )
    yield threaded_step("client.pem", partial(host.judge_own_bundle, site.client_bundle, site, now))
    yield threaded_step("rules", partial(host.judge_rules, site.folder))
    keys = (*authority_keys, site.server_key, *bundles)
    yield threaded_step("private keys", partial(judge_key_rights, keys))


def threaded_step(name: str, judge: Callable[[], Judgement], *needs: str) -> Step:
    """Return a step that runs in a thread, since files and sockets may be slow."""

    def judging() -> Awaitable[Judgement]:
        return in_thread(judge)

    return Step(name, judging, needs)
