"""How hosts and counters are shown, whatever the network says of them."""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.remote import REMOTE
from fakes.sightings import FOREIGN_SITE, OWN_SITE, entry, instance
from usbshare.base.live_table import LiveTable
from usbshare.base.terminal_text import cut, width
from usbshare.bridge.tables import hosts
from usbshare.bridge.tables.hosts import Look, Sight, sight
from usbshare.hosts.counters import SourceReport, SourceStats
from usbshare.hosts.instance import Source
from usbshare.hosts.targets import is_asked

HELD = replace(REMOTE, holder="usbshare://a/operator (bridge me@pc)")
STATS = SourceStats(3, 300, 5, 700, 1, 3725.0, 0.5)


def cells(*sights: Sight) -> list[list[str]]:
    lines = hosts.as_table(sights).splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_a_host_of_ours_is_shown_with_round_trip_and_holders() -> None:
    told = instance("Läser", "192.0.2.20", "fe80::1%eth0", port_ids=("laser",))
    seen = sight(entry(told, Source.MDNS, Source.BEACON), {OWN_SITE}, Look(0.00125, (HELD,)))
    assert cells(seen)[1] == [
        *("Läser", "192.0.2.20 +1", "serial:50051", "yes", "own", "1.2 ms"),
        *("laser held by usbshare://a/operator (bridge me@pc)", "beacon mdns"),
    ]


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (REMOTE, "laser free"),
        (replace(REMOTE, state="available"), "laser free"),
        (replace(REMOTE, state="absent"), "laser absent"),
        (replace(REMOTE, latched=True), "laser latched"),
    ],
)
def test_a_free_port_is_shown_with_its_state(port: object, expected: str) -> None:
    seen = Sight(entry(instance()), True, Look(0.001, (port,)))  # type: ignore[arg-type]
    assert expected in hosts.as_table([seen])


def test_a_foreign_host_is_shown_as_such_with_the_ports_it_announces() -> None:
    seen = sight(entry(instance(site=FOREIGN_SITE, port_ids=("a", "b"))), {OWN_SITE}, None)
    assert cells(seen)[1][4:] == ["foreign ffffffffffff", "-", "a, b", "mdns"]


def test_without_our_own_site_no_host_is_foreign() -> None:
    assert sight(entry(instance()), (), None).is_own is None
    assert "aaaaaaaaaaaa" in hosts.as_table([sight(entry(instance()), (), None)])


def test_a_host_that_took_our_certificate_is_ours_even_if_it_said_nothing() -> None:
    seen = sight(entry(instance(site=""), Source.STATIC), {OWN_SITE}, Look(0.001))
    assert seen.is_own


def test_a_host_that_does_not_answer_is_shown_with_the_reason() -> None:
    seen = sight(entry(instance()), {OWN_SITE}, Look(failure="nothing listens at 192.0.2.20"))
    assert "no answer: nothing listens at 192.0.2.20" in hosts.as_table([seen])
    assert hosts.as_object(seen)["ports"] is None


def test_json_has_everything_with_units_in_the_names() -> None:
    seen = sight(entry(instance(port_ids=("laser",))), {OWN_SITE}, Look(0.00125, (HELD,)))
    (found,) = json.loads(hosts.as_json([seen]))
    assert found["services"] == {"serial": 50051}
    assert found["round_trip_ms"] == 1.25
    assert found["own_site"] is True
    assert found["ports"][0]["holder"] == HELD.holder
    assert found["sources"] == ["mdns"]


def test_a_change_is_one_line() -> None:
    seen = sight(entry(instance(port_ids=("laser",))), {OWN_SITE}, None)
    assert hosts.change_line("added", seen) == (
        "added  Laser-Workshop  192.0.2.20  serial:50051  TLS yes  site own  laser  mdns"
    )
    assert json.loads(hosts.change_json("removed", seen))["event"] == "removed"


@given(st.text(), st.text())
def test_nothing_reported_reaches_the_terminal_unescaped(name: str, holder: str) -> None:
    told = replace(instance(), name=name)
    port = replace(REMOTE, holder=holder)
    seen = sight(entry(told), {OWN_SITE}, Look(0.001, (port,)))
    text = hosts.as_table([seen])
    assert len(text.splitlines()) == 2
    assert all(each.isprintable() for each in text.replace("\n", ""))
    line = hosts.change_line("added", seen)
    assert line.isprintable()


@given(st.text(alphabet="abc日本e\u0301", max_size=40), st.integers(1, 30))
def test_a_cut_text_fits(text: str, columns: int) -> None:
    assert width(cut(text, columns)) <= columns
    assert cut(text, 100) == text


def test_columns_are_aligned_however_wide_their_characters_are() -> None:
    told = [instance("日本"), instance("abcd")]
    rows = hosts.as_table([sight(entry(each), {OWN_SITE}, None) for each in told]).splitlines()
    starts = {width(row[: row.index("192.0.2.20")]) for row in rows[1:]}
    assert len(starts) == 1


def test_counters_are_shown_by_source() -> None:
    report = SourceReport(Source.MDNS, STATS, 2)
    _, row = hosts.stats_table([report]).splitlines()
    assert row.split("  ")[0] == "mdns"
    assert row.endswith("1 h 02 min")
    found = json.loads(hosts.stats_json([report]))
    assert found["mdns"]["received_bytes"] == 700
    assert found["mdns"]["active_instances"] == 2


def test_only_hosts_of_our_site_and_configured_ones_are_asked() -> None:
    def asked(site: str, *sources: Source, own: frozenset[str] = frozenset({OWN_SITE})) -> bool:
        return is_asked(entry(instance(site=site), *sources), own, in_plaintext=False)

    assert asked(OWN_SITE)
    assert asked("", Source.STATIC)
    assert not asked(FOREIGN_SITE)
    assert not asked(FOREIGN_SITE, Source.STATIC)
    assert not asked("")
    assert not asked("", Source.STATIC, own=frozenset())


def test_in_plaintext_only_those_are_asked_that_speak_it() -> None:
    assert is_asked(entry(instance(tls=False)), (), in_plaintext=True)
    assert not is_asked(entry(instance()), (), in_plaintext=True)


def test_a_live_table_draws_over_its_last_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((20, 5)))
    stream = io.StringIO()
    table = LiveTable(stream)
    table.draw("one\ntwo")
    table.draw("one\ntwo")
    table.draw("three")
    assert stream.getvalue() == "one\ntwo\n\x1b[2A\r\x1b[Jthree\n"


def test_a_live_table_fits_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((10, 5)))
    stream = io.StringIO()
    LiveTable(stream).draw("\n".join(["x" * 30] * 9))
    lines = stream.getvalue().splitlines()
    assert lines == ["xxxxxxxx…"] * 3 + ["… and 6 …"]
