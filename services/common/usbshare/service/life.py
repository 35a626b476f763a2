"""What the life of every service has in common: its site, its ready line, its tasks, its end."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
from grpc_health.v1.health import aio as health

from usbshare.base.addresses import join_host_port, split_host_port
from usbshare.base.errors import ConfigError
from usbshare.base.host_names import host_names
from usbshare.base.in_time import ALOUD_AFTER_S
from usbshare.base.paths import HOME_VARIABLE, config_folder
from usbshare.base.threads import in_thread
from usbshare.service.autostart.command_line import program_path
from usbshare.trust.site import Site, ensure_site

_log = logging.getLogger(__name__)
GRACE_S = 3.0
READ_TIMEOUT_S = 5.0
SITE_TIMEOUT_S = 60.0


async def own_site(names: Iterable[str], certificate_days: int = 90) -> Site:
    """Return the site of this computer, made on first start; new certificates last that long."""
    making = in_thread(_own_site, names, timedelta(days=certificate_days))
    try:
        async with aloud(f"the certificates in {config_folder()}"):
            return await asyncio.wait_for(making, SITE_TIMEOUT_S)
    except TimeoutError as error:
        raise ConfigError(
            f"{config_folder()} does not answer within {SITE_TIMEOUT_S:.0f} s: mend its disk, then "
            "start again"
        ) from error


@asynccontextmanager
async def aloud(what: str) -> AsyncIterator[None]:
    """Log one line if what is done meanwhile takes more than a second."""
    loop = asyncio.get_running_loop()
    telling = loop.call_later(ALOUD_AFTER_S, _log.warning, "waiting for %s: no answer yet", what)
    try:
        yield
    finally:
        telling.cancel()


async def load_in_time(load: Callable[[], None], otherwise: Callable[[str], None]) -> None:
    """Load notes in a thread, for 5 s at most; else say that nobody knows them, and why."""
    try:
        await asyncio.wait_for(in_thread(load), READ_TIMEOUT_S)
    except TimeoutError:
        otherwise(f"it does not answer within {READ_TIMEOUT_S:g} s")


def address_and_trust(listen: str, port: int, site: Site | None) -> str:
    """Return the part of a ready line that every service has."""
    host, _ = split_host_port(listen, 0)
    trust = f"mTLS, site {site.id}" if site else "plaintext"
    return f"{join_host_port(host, port)} ({trust})"


async def run_until(stopped: asyncio.Event, **background: Coroutine[Any, Any, object]) -> None:
    """Return when told to stop; a background task that ends or dies ends the service too."""
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(stopped.wait(), name="until stopped")]
    tasks += [asyncio.create_task(each, name=name) for name, each in background.items()]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def stop_server(
    server: grpc.aio.Server,
    health_servicer: health.HealthServicer,
    closing: Coroutine[Any, Any, object],
) -> None:
    """Say NOT_SERVING, close what the server serves, give calls a moment to end, stop it."""
    await health_servicer.enter_graceful_shutdown()
    await closing
    await server.stop(GRACE_S)
    _log.info("stopped")


def _own_site(names: Iterable[str], life: timedelta) -> Site:
    site = ensure_site(config_folder(), host_names(names), life=life)
    if site.is_new:
        _log.info("made site %s; to let another PC in%s", site.id, _how_to_invite())
    return site


def _how_to_invite() -> str:
    if not (home := os.environ.get(HOME_VARIABLE)):
        return ": `serial-svc pki invite`"
    command = f"{program_path('serial-svc')} pki invite"
    return f", as this user and with {HOME_VARIABLE}={home}: `{command}`"
