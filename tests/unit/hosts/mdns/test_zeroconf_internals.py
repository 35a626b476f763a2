"""What we use of python-zeroconf beyond its public interface is still as we use it.

pyproject.toml caps the version below the first that these tests have not seen.
"""

from __future__ import annotations

import time
from typing import Any

from zeroconf import DNSIncoming, ServiceInfo  # type: ignore[attr-defined]
from zeroconf.asyncio import AsyncZeroconf

from usbshare.hosts.counters import SourceCounters
from usbshare.hosts.mdns.names import SERVICE_TYPE
from usbshare.hosts.mdns.records import (
    CLASS_IN,
    FLAGS_ANSWER,
    FLAGS_QUERY,
    TYPE_PTR,
    DNSOutgoing,
    DNSPointer,
    DNSQuestion,
)
from usbshare.hosts.mdns.wire import Admission, Responder, _Gate, _Outgoing

DOTTED = f"Laser 1.5.{SERVICE_TYPE}"


def responder() -> Responder:
    return Responder(["127.0.0.1"], SourceCounters(time.monotonic), Admission(time.monotonic))


def info(name: str) -> ServiceInfo:
    return ServiceInfo(SERVICE_TYPE, name, port=50051, server="laser.local.")


def test_a_message_is_copied_with_all_its_parts_and_a_dotted_label_stays_one() -> None:
    out = DNSOutgoing(FLAGS_ANSWER)
    out.add_answer_at_time(DNSPointer(SERVICE_TYPE, TYPE_PTR, CLASS_IN, 120, DOTTED), 0)
    (packet,) = _Outgoing.of(out).packets()
    assert b"\x09Laser 1.5" in packet
    out = DNSOutgoing(FLAGS_QUERY)
    out.add_question(DNSQuestion(DOTTED, TYPE_PTR, CLASS_IN))
    (packet,) = _Outgoing.of(out).packets()
    assert b"\x09Laser 1.5" in packet


async def test_answers_come_from_our_registry_and_every_socket_is_counted() -> None:
    own = responder()
    try:
        await own.async_wait_for_start()
        own.registry.async_add(info(f"laser.{SERVICE_TYPE}"))
        assert own.registry.async_get_service_infos() == []
        question = DNSOutgoing(FLAGS_QUERY)
        question.add_question(DNSQuestion(SERVICE_TYPE, TYPE_PTR, CLASS_IN))
        asked = DNSIncoming(question.packets()[0])
        answers = own.query_handler.async_response([asked], ucast_source=True)
        assert answers is not None
        assert any(f"laser.{SERVICE_TYPE}" in str(each) for each in answers.ucast)
        own.watch_sockets()
        gates: list[Any] = [each.transport.get_protocol() for each in own.engine.readers]
        assert {type(each) for each in gates} == {_Gate}
        inner = gates[0]._inner
        gates[0].datagram_received(b"\x00" * 5, ("127.0.0.1", 5353))
        assert inner.last_message.valid is False
        assert own.engine.senders
    finally:
        await AsyncZeroconf(zc=own).async_close()
