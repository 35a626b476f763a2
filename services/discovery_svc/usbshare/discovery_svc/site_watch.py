"""Follows the site's certificates while the service runs: they are renewed, or rolled over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from usbshare.base.errors import ConfigError
from usbshare.base.threads import in_thread
from usbshare.rpc.tls import ClientBundle
from usbshare.trust.site import Site
from usbshare.trust.site_renewal import serving_fingerprint

log = logging.getLogger(__name__)

LOOK_S = 10.0


async def follow_site(
    site: Site, told: Callable[[str], None], use: Callable[[ClientBundle], None]
) -> None:
    """Call `told` with another authority's fingerprint and `use` with a new bundle, repeatedly."""
    fingerprint, key = site.fingerprint, b""
    while True:
        found, bundle = await in_thread(_read, site)
        if found and found != fingerprint:
            fingerprint = found
            log.info("the site's authority is now %s", found[:12])
            told(found)
        if bundle is not None and bundle.key != key:
            if key:
                use(bundle)
            key = bundle.key
        await asyncio.sleep(LOOK_S)


def _read(site: Site) -> tuple[str, ClientBundle | None]:
    try:
        return serving_fingerprint(site), ClientBundle.load(site.host_bundle)
    except (ConfigError, OSError, ValueError) as error:
        log.debug("certificates of the site: %s", error)
        return "", None
