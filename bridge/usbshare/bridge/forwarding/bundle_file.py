"""The file that holds a client's certificate: others may renew it while we use what it held."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from usbshare.base import paths
from usbshare.base.errors import ConfigError
from usbshare.base.file_lock import file_lock
from usbshare.base.paths import rewrite
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import certificates

log = logging.getLogger(__name__)

# Longer than another program takes to renew it.
ALONE_TIMEOUT_S = 60.0
MORE_BYTES = 4096


def identity_of(bundle: ClientBundle) -> str:
    """Return whom the certificate is for; empty if it names none."""
    return next(iter(certificates.uris(bundle.certificate)), "")


def newest(bundle: ClientBundle) -> ClientBundle:
    """Return what the bundle's file holds now, if another certificate that replaces this one.

    It is for the same identity and does not end earlier. Both may end in the same second.
    """
    try:
        found = ClientBundle.load(bundle.path)
    except ConfigError as error:
        log.debug("%s", error)
        return bundle
    is_another = found.chain != bundle.chain and identity_of(found) == identity_of(bundle)
    return found if is_another and found.expires >= bundle.expires else bundle


@contextmanager
def alone(path: Path, timeout_s: float = ALONE_TIMEOUT_S) -> Iterator[None]:
    """Renew a file by one program of this computer at a time; blocks, then raises ConfigError.

    Of two certificates that are got for one, the host takes the second for a thief's.
    """
    with ExitStack() as held:
        try:
            held.enter_context(file_lock(path.with_name(f".{path.name}.lock"), timeout_s))
        except OSError as error:
            raise _not_written(path, error) from error
        yield


def require_writable(bundle: ClientBundle) -> None:
    """Raise ConfigError unless `write` can put a bundle of that size in the file now."""
    size = len(bundle.key + bundle.chain + bundle.authorities) + MORE_BYTES
    try:
        paths.require_writable(bundle.path, size)
    except OSError as error:
        raise _not_written(bundle.path, error) from error


def write(bundle: ClientBundle) -> None:
    """Put the bundle in its file, in one step; ConfigError, and nothing is changed."""
    try:
        rewrite(bundle.path, bundle.key + bundle.chain + bundle.authorities)
    except OSError as error:
        raise _not_written(bundle.path, error) from error


def _not_written(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write {path}: {error.strerror}")


def stamp(path: Path) -> tuple[int, int]:
    """Return what differs when the file has been written."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)
