"""The file that holds a client's certificate: others may renew it while we use what it held."""

from __future__ import annotations

import logging
from pathlib import Path

from usbshare.common import certificates
from usbshare.common.errors import ConfigError
from usbshare.common.paths import rewrite
from usbshare.common.tls import ClientBundle

log = logging.getLogger(__name__)


def identity_of(bundle: ClientBundle) -> str:
    """Return whom the certificate is for; empty if it says nobody."""
    return next(iter(certificates.uris(bundle.certificate)), "")


def newest(bundle: ClientBundle) -> ClientBundle:
    """Return what the bundle's file holds now, if it is of the same identity and lasts longer."""
    try:
        found = ClientBundle.load(bundle.path)
    except ConfigError as error:
        log.debug("%s", error)
        return bundle
    is_newer = found.expires > bundle.expires and identity_of(found) == identity_of(bundle)
    return found if is_newer else bundle


def write(bundle: ClientBundle) -> None:
    """Put the bundle in its file, in one step; ConfigError, and nothing is changed."""
    try:
        rewrite(bundle.path, bundle.key + bundle.chain + bundle.authorities)
    except OSError as error:
        raise ConfigError(f"cannot write {bundle.path}: {error.strerror}") from error


def stamp(path: Path) -> tuple[int, int]:
    """Return what differs when the file has been written."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)
