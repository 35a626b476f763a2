"""The steps of `job-svc doctor`, from the configuration to its serial service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from usbshare.base.checkup import Judgement, Step, failure, fine, warning
from usbshare.base.errors import ConfigError, PermissionDeniedError, UsbshareError
from usbshare.base.paths import config_folder, state_folder
from usbshare.base.threads import in_thread
from usbshare.client.serial.client import SerialClient
from usbshare.job_svc.checkup.record import judge_record, judge_room
from usbshare.job_svc.settings import PROGRAM, Settings
from usbshare.rpc.channel import parse_target
from usbshare.rpc.tls import ClientBundle
from usbshare.service.checkup import host
from usbshare.service.checkup.site_steps import read_settings, site_steps, threaded_step
from usbshare.trust.site import Site

LOOK_S = 5.0
_CERTIFICATE = "own certificate"
_SERIAL = "start it (`systemctl start serial-svc`), or set [serial] target; see `serial-svc doctor`"


@dataclass(frozen=True, slots=True)
class Examined:
    """The inputs of the checks; `folder`: where the service keeps its files."""

    settings: Settings
    configuration: Judgement
    site: Site
    folder: Path


def examined(config: Path | None, listen: str | None) -> Examined:
    """Gather the inputs; a bad configuration is a finding, not an error."""
    settings, configuration = read_settings(config, Settings)
    if listen is not None:
        job = settings.job.model_copy(update={"listen": listen})
        settings = settings.model_copy(update={"job": job})
    folder = state_folder() / PROGRAM.name
    return Examined(settings, configuration, Site(config_folder(), ""), folder)


def steps(what: Examined) -> Iterator[Step]:
    """Yield the checks in their order."""
    site, settings, now = what.site, what.settings, datetime.now(UTC)
    yield from site_steps(what.configuration, site, settings.tls.names)
    own = partial(host.judge_own_bundle, site.job_bundle, site, now)
    yield threaded_step(_CERTIFICATE, own)
    yield threaded_step("record of jobs", partial(judge_record, what.folder))
    yield threaded_step("disk room", partial(judge_room, what.folder, settings.files))
    yield Step("serial-svc", partial(_judge_serial, what), (_CERTIFICATE,))
    listen = settings.job.listen
    yield threaded_step("listen address", partial(host.judge_address, listen, site.client_bundle))


async def _judge_serial(what: Examined) -> Judgement:
    """Check whether the serial service answers this service, with the identity that it shows."""
    target = parse_target(what.settings.serial.target)
    try:
        bundle = await in_thread(ClientBundle.load, what.site.job_bundle)
    except ConfigError:
        return fine("not asked: job-svc has no certificate before its first start")
    client = SerialClient(target, bundle)
    try:
        ports = await client.list_ports(LOOK_S)
    except PermissionDeniedError as error:
        return failure(f"serial-svc at {target} refuses job-svc: {error}", "see docs/access.md")
    except UsbshareError as error:
        return failure(f"serial-svc at {target} does not answer: {error}", _SERIAL)
    finally:
        await client.close()
    if not ports:
        return warning(f"serial-svc at {target} shows job-svc no port", "see docs/access.md")
    return fine(f"{target} answers; ports: {', '.join(each.id for each in ports)}")
