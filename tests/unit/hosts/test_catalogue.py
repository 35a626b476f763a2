"""The catalogue: what all sources tell, merged; checked against a model that recomputes all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.clock import FakeClock
from usbshare.hosts.catalogue import MOST_OF_A_NAME, MOST_OF_A_SOURCE, Catalogue
from usbshare.hosts.filter import Filter
from usbshare.hosts.instance import Endpoint, Entry, Instance, Kind, Observation, Source

_SERIAL = (Endpoint(Kind.SERIAL, 50051),)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def catalogue(clock: FakeClock) -> Catalogue:
    return Catalogue(clock)


def host(name: str, *addresses: str, host: str = "", site: str = "", port: int = 50051) -> Instance:
    return Instance(name, addresses, (Endpoint(Kind.SERIAL, port),), host=host, site=site)


def told(
    source: Source, instance: Instance, key: str = "", expires_at: float | None = None
) -> Observation:
    return Observation(source, key or instance.name, instance, expires_at)


def the_one(catalogue: Catalogue) -> Entry:
    (entry,) = catalogue.entries()
    return entry


class Told:
    """Counts what the catalogue tells."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.times = 0
        self.unsubscribe = catalogue.subscribe(self._count)

    def _count(self) -> None:
        self.times += 1


# What is merged


def test_sources_that_share_an_address_make_one_entry(catalogue: Catalogue) -> None:
    catalogue.observe(told(Source.BEACON, host("laser", "10.0.0.1")))
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.2", "10.0.0.1", host="l.local")))
    entry = the_one(catalogue)
    assert entry.sources == {Source.MDNS, Source.BEACON}
    assert entry.instance.name == "Laser"
    assert entry.instance.addresses == ("10.0.0.2", "10.0.0.1")
    assert entry.instance.host == "l.local"


def test_sources_that_share_a_host_name_make_one_entry(catalogue: Catalogue) -> None:
    catalogue.observe(told(Source.VIA, host("Laser", "10.0.0.1", host="laser.local")))
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.2", host="Laser.local")))
    catalogue.observe(told(Source.STATIC, host("Laser", "laser.local")))
    entry = the_one(catalogue)
    assert entry.sources == {Source.VIA, Source.MDNS, Source.STATIC}
    assert entry.instance.addresses == ("laser.local", "10.0.0.2", "10.0.0.1")


@pytest.mark.parametrize(
    "other",
    [
        host("Mill", "10.0.0.1"),
        host("Laser", "10.0.0.9"),
        host("Laser", "10.0.0.1", site="b" * 64),
    ],
    ids=["other name", "other address", "other site"],
)
def test_a_possibly_different_host_is_a_separate_entry(
    catalogue: Catalogue, other: Instance
) -> None:
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.1", site="a" * 64)))
    catalogue.observe(told(Source.BEACON, other))
    assert len(catalogue.entries()) == 2


def test_a_source_distinguishes_its_hosts(catalogue: Catalogue) -> None:
    shared = "172.17.0.1"  # what every computer with containers has
    catalogue.observe(told(Source.BEACON, host("pi", "10.0.0.1", shared), "first"))
    catalogue.observe(told(Source.BEACON, host("pi", "10.0.0.2", shared), "second"))
    assert len(catalogue.entries()) == 2


def test_two_discovery_services_report_one_host(catalogue: Catalogue) -> None:
    catalogue.observe(told(Source.VIA, host("Laser", "10.0.0.1"), "there/7"))
    catalogue.observe(told(Source.VIA, host("Laser", "10.0.0.1", "10.1.0.1"), "elsewhere/3"))
    assert the_one(catalogue).instance.addresses == ("10.0.0.1", "10.1.0.1")


def test_a_configured_host_gives_the_address_and_an_announcement_the_rest(
    catalogue: Catalogue,
) -> None:
    catalogue.observe(told(Source.STATIC, host("laser", "10.0.0.1", port=9000)))
    announced = Instance(
        "Laser",
        ("10.0.0.2", "10.0.0.1"),
        (Endpoint(Kind.SERIAL, 50051), Endpoint(Kind.CAMERA, 50052)),
        host="laser.local",
        port_ids=("laser",),
        tls=False,
        site="a" * 64,
        version="0.1.0",
    )
    catalogue.observe(told(Source.MDNS, announced))
    assert the_one(catalogue).instance == replace(
        announced,
        name="laser",
        addresses=("10.0.0.1", "10.0.0.2"),
        endpoints=(Endpoint(Kind.SERIAL, 9000), Endpoint(Kind.CAMERA, 50052)),
    )


def test_addresses_that_reach_far_come_before_those_that_do_not(catalogue: Catalogue) -> None:
    near = ("127.0.0.1", "fe80::1%eth0", "169.254.1.1")
    catalogue.observe(told(Source.MDNS, host("Laser", *near, "fd00::1", "10.0.0.1")))
    assert the_one(catalogue).instance.addresses == (
        "fd00::1",
        "10.0.0.1",
        "169.254.1.1",
        "fe80::1%eth0",
        "127.0.0.1",
    )


# What changes


def test_an_entry_keeps_its_id_while_sources_come_and_go(catalogue: Catalogue) -> None:
    catalogue.observe(told(Source.BEACON, host("Laser", "10.0.0.1")))
    before = the_one(catalogue).id
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.1")))
    assert the_one(catalogue).id == before
    catalogue.forget(Source.BEACON, "Laser")
    assert the_one(catalogue).id == before
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.7")))
    assert the_one(catalogue).id == before


def test_an_id_is_never_given_again(catalogue: Catalogue) -> None:
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.1")))
    before = the_one(catalogue).id
    catalogue.forget(Source.MDNS, "Laser")
    assert catalogue.get(before) is None
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.1")))
    assert the_one(catalogue).id != before


def test_entries_that_part_have_two_ids(catalogue: Catalogue) -> None:
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.1")))
    catalogue.observe(told(Source.BEACON, host("Laser", "10.0.0.1")))
    before = the_one(catalogue).id
    catalogue.observe(told(Source.BEACON, host("Laser", "10.0.0.2")))
    first, second = catalogue.entries()
    assert before in (first.id, second.id)
    assert first.id != second.id


def test_an_expired_entry_is_dropped(catalogue: Catalogue, clock: FakeClock) -> None:
    now = clock()
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.1"), expires_at=now + 5))
    catalogue.observe(told(Source.MDNS, host("Mill", "10.0.0.2"), expires_at=now + 3))
    catalogue.observe(told(Source.STATIC, host("Oven", "10.0.0.3")))
    assert catalogue.next_expiry() == now + 3
    clock.advance(3)
    catalogue.expire()
    assert [each.instance.name for each in catalogue.entries()] == ["Laser", "Oven"]
    clock.advance(2)
    catalogue.expire()
    assert [each.instance.name for each in catalogue.entries()] == ["Oven"]
    assert catalogue.next_expiry() is None


def test_an_entry_reported_again_lasts_longer(catalogue: Catalogue, clock: FakeClock) -> None:
    for _ in range(5):
        expires_at = clock() + 30
        catalogue.observe(told(Source.BEACON, host("Laser", "10.0.0.1"), expires_at=expires_at))
        clock.advance(29)
        catalogue.expire()
    assert the_one(catalogue).last_seen == clock() - 29


def test_a_probe_that_worked_is_when_it_was_seen_last(
    catalogue: Catalogue, clock: FakeClock
) -> None:
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.1")))
    clock.advance(7)
    catalogue.reached(the_one(catalogue).id)
    assert the_one(catalogue).last_seen == clock()


def test_a_probe_of_what_is_gone_is_nothing(catalogue: Catalogue) -> None:
    catalogue.reached("77")
    catalogue.unreachable("77")
    catalogue.forget(Source.MDNS, "nobody")
    assert catalogue.entries() == []


def test_an_instance_that_does_not_answer_is_dropped_unless_configured(
    catalogue: Catalogue,
) -> None:
    for source in Source:
        catalogue.observe(told(source, host("Laser", "10.0.0.1")))
    catalogue.unreachable(the_one(catalogue).id)
    assert the_one(catalogue).sources == {Source.STATIC, Source.LOCAL, Source.VIA}
    assert not catalogue.knows(Source.MDNS, "Laser")


def test_a_source_that_ends_removes_what_it_reported(catalogue: Catalogue) -> None:
    for each in range(5):
        catalogue.observe(told(Source.VIA, host(f"host {each}", "10.0.0.1")))
    catalogue.observe(told(Source.MDNS, host("host 0", "10.0.0.1")))
    catalogue.forget_source(Source.VIA)
    assert the_one(catalogue).sources == {Source.MDNS}
    assert catalogue.count(Source.VIA) == 0


def test_entries_are_sorted_by_name_and_filtered(catalogue: Catalogue) -> None:
    for name in ("mill", "Laser", "oven", "Lathe"):
        catalogue.observe(told(Source.MDNS, host(name, "10.0.0.1")))
    assert [each.instance.name for each in catalogue.entries()] == [
        "Laser",
        "Lathe",
        "mill",
        "oven",
    ]
    found = catalogue.entries(Filter(name_pattern="la*"))
    assert [each.instance.name for each in found] == ["Laser", "Lathe"]


# Who is told


def test_a_subscriber_gets_each_change_until_it_unsubscribes(catalogue: Catalogue) -> None:
    subscriber = Told(catalogue)
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.1")))
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.2")))
    catalogue.forget(Source.MDNS, "Laser")
    assert subscriber.times == 3
    subscriber.unsubscribe()
    subscriber.unsubscribe()
    catalogue.observe(told(Source.MDNS, host("Laser", "10.0.0.1")))
    assert subscriber.times == 3


def test_a_non_change_is_not_reported(catalogue: Catalogue, clock: FakeClock) -> None:
    observation = told(Source.BEACON, host("Laser", "10.0.0.1"), expires_at=clock() + 30)
    catalogue.observe(observation)
    subscriber = Told(catalogue)
    catalogue.observe(observation)
    catalogue.observe(replace(observation, expires_at=clock() + 60))
    catalogue.reached(the_one(catalogue).id)
    catalogue.forget(Source.MDNS, "Laser")
    catalogue.forget_source(Source.LOCAL)
    catalogue.expire()
    assert subscriber.times == 0


def test_an_expiry_that_comes_sooner_is_reported(catalogue: Catalogue, clock: FakeClock) -> None:
    observation = told(Source.MDNS, host("Laser", "10.0.0.1"), expires_at=clock() + 60)
    catalogue.observe(observation)
    subscriber = Told(catalogue)
    catalogue.observe(replace(observation, expires_at=clock() + 1))
    assert subscriber.times == 1


def test_many_that_expire_at_once_are_reported_once(catalogue: Catalogue, clock: FakeClock) -> None:
    for each in range(50):
        instance = host(f"host {each}", "10.0.0.1")
        catalogue.observe(told(Source.MDNS, instance, expires_at=clock() + 1))
    subscriber = Told(catalogue)
    clock.advance(1)
    catalogue.expire()
    assert subscriber.times == 1


# What a flood can do


def test_more_than_1024_of_a_source_are_refused(catalogue: Catalogue) -> None:
    for each in range(MOST_OF_A_SOURCE):
        assert catalogue.observe(told(Source.MDNS, host(f"host {each}", "10.0.0.1")))
    assert not catalogue.observe(told(Source.MDNS, host("one more", "10.0.0.1")))
    assert catalogue.observe(told(Source.BEACON, host("one more", "10.0.0.1")))
    assert catalogue.observe(told(Source.MDNS, host("host 7", "10.0.0.9")))
    assert catalogue.count(Source.MDNS) == MOST_OF_A_SOURCE
    catalogue.forget(Source.MDNS, "host 3")
    assert catalogue.observe(told(Source.MDNS, host("one more", "10.0.0.1")))


def test_more_than_64_of_one_name_are_refused(catalogue: Catalogue) -> None:
    for each in range(MOST_OF_A_NAME):
        assert catalogue.observe(told(Source.MDNS, host("Laser", f"10.0.0.{each}"), f"{each}"))
    assert not catalogue.observe(told(Source.MDNS, host("LASER", "10.0.1.1"), "one more"))


def test_a_refused_entry_leaves_nothing_behind(catalogue: Catalogue) -> None:
    for each in range(MOST_OF_A_SOURCE):
        catalogue.observe(told(Source.MDNS, host(f"host {each}", "10.0.0.1")))
    for each in range(5000):
        catalogue.observe(told(Source.MDNS, host(f"junk {each}", "10.0.0.1")))
    catalogue.forget_source(Source.MDNS)
    kept = {name: held for name, held in vars(catalogue).items() if isinstance(held, dict)}
    assert not any(len(held) > len(Source) for held in kept.values()), kept.keys()


# Everything at once, against a model that has no memory but the observations


class Model:
    """Keeps the observations and finds the entries anew each time."""

    def __init__(self) -> None:
        self.observations: dict[tuple[Source, str], Observation] = {}

    def hosts(self) -> set[frozenset[tuple[Source, str]]]:
        order = [Source.LOCAL, Source.STATIC, Source.MDNS, Source.VIA, Source.BEACON]
        parts: list[list[Observation]] = []
        for each in sorted(self.observations.values(), key=lambda each: order.index(each.source)):
            part = next((part for part in parts if self._fits(each, part)), None)
            if part is None:
                parts.append([each])
            else:
                part.append(each)
        return {frozenset((each.source, each.key) for each in part) for part in parts}

    def _fits(self, observation: Observation, part: list[Observation]) -> bool:
        new = observation.instance
        sites = {each.instance.site for each in part} - {""}
        places = {
            place for each in part for place in (*each.instance.addresses, each.instance.host)
        }
        return (
            new.name.casefold() == part[0].instance.name.casefold()
            and bool({*new.addresses, new.host} & places - {""})
            and (not new.site or not sites or new.site in sites)
            and (
                observation.source is Source.VIA
                or all(each.source is not observation.source for each in part)
            )
        )


_instances = st.builds(
    host,
    st.sampled_from(["Laser", "laser", "Mill"]),
    st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    st.sampled_from(["10.0.0.1", "10.0.0.3", "fe80::1%eth0"]),
    host=st.sampled_from(["", "a.local", "b.local"]),
    site=st.sampled_from(["", "", "a" * 64, "b" * 64]),
)
_sources = st.sampled_from(list(Source))
_keys = st.sampled_from(["x", "y"])
_steps = st.one_of(
    st.tuples(st.just("observe"), _sources, _keys, _instances, st.sampled_from([None, 2.0, 9.0])),
    st.tuples(st.just("forget"), _sources, _keys),
    st.tuples(st.just("forget_source"), _sources),
    st.tuples(st.just("expire"), st.sampled_from([0.0, 1.0, 5.0])),
    st.tuples(st.just("unreachable"), st.integers(0, 5)),
    st.tuples(st.just("reached"), st.integers(0, 5)),
)


class Run:
    """Does each step to the catalogue and to the model."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.catalogue = Catalogue(self.clock)
        self.model = Model()

    def observe(
        self, source: Source, key: str, instance: Instance, lifetime_s: float | None
    ) -> None:
        expires_at = None if lifetime_s is None else self.clock() + lifetime_s
        observation = Observation(source, key, instance, expires_at)
        # Who was first counts among equals; a model that keeps its place has the same order.
        known = self.model.observations
        if (source, key) in known:
            known[source, key] = observation
        else:
            self.model.observations = {**known, (source, key): observation}
        assert self.catalogue.observe(observation)

    def forget(self, source: Source, key: str) -> None:
        self.model.observations.pop((source, key), None)
        self.catalogue.forget(source, key)

    def forget_source(self, source: Source) -> None:
        self._keep(lambda each: each.source is not source)
        self.catalogue.forget_source(source)

    def expire(self, seconds: float) -> None:
        self.clock.advance(seconds)
        now = self.clock()
        self._keep(lambda each: each.expires_at is None or each.expires_at > now)
        self.catalogue.expire()

    def unreachable(self, number: int) -> None:
        entry = self._pick(number)
        if entry is not None:
            gone = {at for at in self._members(entry) if at[0] in (Source.MDNS, Source.BEACON)}
            self._keep(lambda each: (each.source, each.key) not in gone)
            self.catalogue.unreachable(entry.id)

    def reached(self, number: int) -> None:
        entry = self._pick(number)
        if entry is not None:
            self.catalogue.reached(entry.id)

    def check(self) -> None:
        entries = self.catalogue.entries()
        assert {self._members(each) for each in entries} == self.model.hosts()
        assert len({each.id for each in entries}) == len(entries)
        for entry in entries:
            members = [self.model.observations[at] for at in self._members(entry)]
            assert entry == self.catalogue.get(entry.id)
            assert entry.sources == {each.source for each in members}
            addresses = {address for each in members for address in each.instance.addresses}
            assert set(entry.instance.addresses) == addresses
        soonest = [each.expires_at for each in self.model.observations.values() if each.expires_at]
        assert self.catalogue.next_expiry() == min(soonest, default=None)

    def ids(self) -> dict[frozenset[tuple[Source, str]], str]:
        return {self._members(each): each.id for each in self.catalogue.entries()}

    def _pick(self, number: int) -> Entry | None:
        entries = self.catalogue.entries()
        return entries[number % len(entries)] if entries else None

    def _members(self, entry: Entry) -> frozenset[tuple[Source, str]]:
        records = self.catalogue._hosts[entry.id].records
        return frozenset((each.observation.source, each.observation.key) for each in records)

    def _keep(self, is_kept: Callable[[Observation], bool]) -> None:
        known = self.model.observations
        self.model.observations = {at: each for at, each in known.items() if is_kept(each)}


@settings(max_examples=300)
@given(st.lists(_steps, max_size=40))
def test_any_sequence_agrees_with_a_model_that_recomputes_all(
    steps: list[tuple[str, object]],
) -> None:
    run = Run()
    for name, *arguments in steps:
        before = run.ids()
        getattr(run, name)(*arguments)
        run.check()
        after = run.ids()
        for members in before.keys() & after.keys():
            assert after[members] == before[members]
