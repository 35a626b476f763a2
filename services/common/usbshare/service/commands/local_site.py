"""The site, the settings and the audit log of this computer, for the `pki` commands."""

from __future__ import annotations

import getpass
import shlex
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field

from usbshare.audit.log import AuditLog, audit_folder
from usbshare.base.addresses import split_host_port
from usbshare.base.config import Table, checked, load_config
from usbshare.base.config_search import find_config
from usbshare.base.errors import ConfigError, NotFoundError
from usbshare.base.host_names import host_names
from usbshare.base.paths import HOME_VARIABLE, SITE_FOLDER, config_folder
from usbshare.base.service_settings import TlsTable
from usbshare.base.usual_ports import SERIAL_PORT
from usbshare.hosts.settings import DiscoveryTable
from usbshare.service.autostart.command_line import program_path
from usbshare.trust.authorities import CERTIFICATES_FILE, load_authorities
from usbshare.trust.certificates import fingerprint
from usbshare.trust.identities import read_identities, registry_path, short_name
from usbshare.trust.invitations import invitations_path, read_invitations
from usbshare.trust.names import SCHEME, identity_uri
from usbshare.trust.site import Site, ensure_site

BUILT_IN = frozenset({"operator", "host", "job-svc"})
UNITS_HOME = Path("/var/lib/usbshare")  # what the shipped units set USBSHARE_HOME to
_AUDIT_NAME = "pki"


class ServiceTable(Table):
    """What counts of `[service]` here; serial-svc checks the rest."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    listen: Annotated[str, checked(lambda text: split_host_port(text, 0))] = f"[::]:{SERIAL_PORT}"


class PkiSettings(Table):
    """What the commands read of the services' configuration."""

    service: ServiceTable = Field(default_factory=ServiceTable)
    tls: TlsTable = Field(default_factory=TlsTable)
    discovery: DiscoveryTable = Field(default_factory=DiscoveryTable)


def load_settings(config: Path | None) -> PkiSettings:
    """Return the settings of the services of this computer; raises ConfigError."""
    return load_config(find_config(config), PkiSettings)


def made_site(tls: TlsTable) -> Site:
    """Return the site of this computer, made and renewed as at the start of a service.

    ConfigError if that would be a second site.
    """
    _require_no_units_site(config_folder())
    life = timedelta(days=tls.certificate_days)
    return ensure_site(config_folder(), host_names(tls.names), life=life)


def known_site() -> Site:
    """Return the site of this computer as it is; ConfigError if there is none."""
    folder = config_folder()
    _require_no_units_site(folder)
    if not _has_site(folder):
        raise ConfigError(
            f"there is no site in {folder}: start a service, which creates one, or set "
            "USBSHARE_HOME"
        )
    authorities = load_authorities(folder / SITE_FOLDER, datetime.now(UTC))
    return Site(folder, fingerprint(authorities.host.key.public_key()), known_id=_id(folder))


def _require_no_units_site(folder: Path) -> None:
    """Raise ConfigError if there is no site here, but the services that systemd starts have one."""
    if folder == UNITS_HOME or _has_site(folder) or not UNITS_HOME.exists():
        return
    command = shlex.join([program_path(Path(sys.argv[0]).name), *sys.argv[1:]])
    raise ConfigError(
        f"there is no site in {folder}; the services that systemd starts keep theirs in "
        f"{UNITS_HOME}: sudo -u usbshare {HOME_VARIABLE}={UNITS_HOME} {command}"
    )


def _has_site(folder: Path) -> bool:
    return (folder / SITE_FOLDER / CERTIFICATES_FILE).exists()


def known_identity(site: Site, name: str) -> str:
    """Return the URI of a name or URI that the site knows; NotFoundError otherwise."""
    uri = identity_uri(site.id, name)
    known = read_identities(registry_path(site.folder))
    if uri in known or name.startswith(SCHEME) or name in BUILT_IN:
        return uri
    names = ", ".join(sorted({*BUILT_IN, *map(short_name, known)}))
    raise NotFoundError(f"no identity here is called {name!r}; available: {names}")


def revocable_identity(site: Site, name: str) -> str:
    """Return the same, also for the name of an open invitation; NotFoundError otherwise."""
    with suppress(ConfigError):  # if invitations cannot be read, there may be one
        given = read_invitations(invitations_path(site.folder))
        now = datetime.now(UTC)
        if any(each.name == name and each.is_open(now) for each in given):
            return identity_uri(site.id, name)
    return known_identity(site, name)


def command_log() -> AuditLog:
    """Return the audit log of the commands, as a context manager."""
    return AuditLog(audit_folder(), _AUDIT_NAME)


def administrator() -> str:
    """Return the user who runs the command, for the audit log."""
    try:
        return f"local:{getpass.getuser()}"
    except (OSError, KeyError):  # a user without a name, as in a container
        return "local"


def _id(folder: Path) -> str:
    try:
        return (folder / SITE_FOLDER / "id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):  # as before sites had one: it is the authority's
        return ""
