"""The steps of `usbshare-bridge doctor`, in the order in which a connection comes about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from usbshare.base.checkup import Judgement, Step
from usbshare.bridge.checkup import driver, multicast, reach, service, speed, target_name, trust
from usbshare.bridge.checkup.context import Subject

_CERTIFICATE = target_name.CERTIFICATE
_NAME, _TCP, _TLS, _HEALTH = "name resolution", "TCP", reach.TLS, "health"
_RIGHTS, _ROUND_TRIP = service.RIGHTS, "round trip"


def steps(subject: Subject) -> Iterator[Step]:
    """Yield the checks in their order."""

    def step(name: str, judge: Callable[[Subject], Awaitable[Judgement]], *needs: str) -> Step:
        return Step(name, partial(judge, subject), needs)

    yield step("configuration", _judge_configuration)
    yield step(_CERTIFICATE, trust.judge_certificate)
    yield step("certificate chain", trust.judge_chain, _CERTIFICATE)
    yield step("private key", trust.judge_rights_on_key, _CERTIFICATE)
    yield step(_NAME, target_name.judge_name)
    yield step("multicast", multicast.judge_multicast)
    yield step(_TCP, reach.judge_tcp, _NAME)
    yield step(_TLS, reach.judge_tls, _CERTIFICATE, _TCP)
    yield step(_HEALTH, service.judge_health, _TLS)
    yield step(_RIGHTS, service.judge_access, _TLS)
    yield step("job-svc", service.judge_jobs, _TLS)
    yield step("clocks", reach.judge_clocks, _TLS)
    yield step(service.PORT, service.judge_port, _RIGHTS)
    yield step("line settings", service.judge_settings, _RIGHTS)
    yield step(_ROUND_TRIP, speed.judge_round_trip, _TLS)
    yield step("job rate", speed.judge_job_rate, _RIGHTS, _ROUND_TRIP)
    yield step("virtual port", driver.judge_virtual_port)


async def _judge_configuration(subject: Subject) -> Judgement:
    return subject.configuration
