"""A watch tells what is different from what it told, however slowly it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.clock import FakeClock
from fakes.waiting import until
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.filter import Filter
from usbshare.hosts.instance import Endpoint, Entry, Instance, Kind, Observation, Source
from usbshare.hosts.watch import Added, Change, Removed, Snapshot, Updated, Watch


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def catalogue(clock: FakeClock) -> Catalogue:
    return Catalogue(clock)


@pytest.fixture
def watch(catalogue: Catalogue) -> Iterator[Watch]:
    with Watch(catalogue, Filter()) as made:
        yield made


def observe(catalogue: Catalogue, name: str, address: str = "10.0.0.1", port: int = 50051) -> None:
    instance = Instance(name, (address,), (Endpoint(Kind.SERIAL, port),))
    catalogue.observe(Observation(Source.MDNS, name, instance))


def forget(catalogue: Catalogue, name: str) -> None:
    catalogue.forget(Source.MDNS, name)


async def following(watch: Watch) -> Change:
    async with asyncio.timeout(30):
        return await anext(watch)


async def is_quiet(watch: Watch) -> bool:
    """Return whether the watch has nothing to say; what it would say is not lost."""
    reading = asyncio.ensure_future(anext(watch))
    for _ in range(5):
        await asyncio.sleep(0)
    if reading.done():
        return False
    reading.cancel()
    await asyncio.wait([reading])
    return True


def names(snapshot: Change) -> list[str]:
    assert isinstance(snapshot, Snapshot)
    return [each.instance.name for each in snapshot.entries]


async def test_the_first_is_what_there_is(catalogue: Catalogue, watch: Watch) -> None:
    observe(catalogue, "Mill")
    observe(catalogue, "Laser")
    assert names(await following(watch)) == ["Laser", "Mill"]


async def test_of_nothing_there_is_a_snapshot_too(watch: Watch) -> None:
    assert names(await following(watch)) == []


async def test_then_each_change_is_reported(catalogue: Catalogue, watch: Watch) -> None:
    await following(watch)
    observe(catalogue, "Laser")
    added = await following(watch)
    observe(catalogue, "Laser", "10.0.0.2")
    updated = await following(watch)
    forget(catalogue, "Laser")
    removed = await following(watch)
    assert isinstance(added, Added)
    assert isinstance(updated, Updated)
    assert updated.entry.instance.addresses == ("10.0.0.2",)
    assert removed == Removed(updated.entry)
    assert added.entry.id == updated.entry.id


async def test_a_reader_that_waits_is_woken(catalogue: Catalogue, watch: Watch) -> None:
    await following(watch)
    reading = asyncio.ensure_future(following(watch))
    await asyncio.sleep(0)
    observe(catalogue, "Laser")
    assert isinstance(await reading, Added)


async def test_seen_again_is_no_change(
    catalogue: Catalogue, watch: Watch, clock: FakeClock
) -> None:
    observe(catalogue, "Laser")
    await following(watch)
    clock.advance(5)
    observe(catalogue, "Laser")
    catalogue.reached(catalogue.entries()[0].id)
    assert await is_quiet(watch)


async def test_another_source_is_a_change(catalogue: Catalogue, watch: Watch) -> None:
    observe(catalogue, "Laser")
    await following(watch)
    instance = catalogue.entries()[0].instance
    catalogue.observe(Observation(Source.BEACON, "x", instance))
    updated = await following(watch)
    assert isinstance(updated, Updated)
    assert updated.entry.sources == {Source.MDNS, Source.BEACON}


async def test_a_slow_reader_gets_the_outcome_and_not_the_steps(
    catalogue: Catalogue, watch: Watch
) -> None:
    await following(watch)
    for port in range(1, 1001):
        observe(catalogue, "Laser", port=port)
        observe(catalogue, "Mill", port=port)
        forget(catalogue, "Mill")
    added = await following(watch)
    assert isinstance(added, Added)
    assert added.entry.instance.port_of(Kind.SERIAL) == 1000
    assert await is_quiet(watch)


async def test_a_change_reverted_before_it_was_reported_is_not_reported(
    catalogue: Catalogue, watch: Watch
) -> None:
    observe(catalogue, "Laser")
    await following(watch)
    observe(catalogue, "Laser", port=1)
    observe(catalogue, "Laser")
    assert await is_quiet(watch)


async def test_an_outdated_change_is_not_reported(catalogue: Catalogue, watch: Watch) -> None:
    await following(watch)
    for name in ("A", "B", "C"):
        observe(catalogue, name)
    first = await following(watch)
    forget(catalogue, "B")
    second = await following(watch)
    assert [each.entry.instance.name for each in (first, second) if isinstance(each, Added)] == [
        "A",
        "C",
    ]
    assert await is_quiet(watch)


async def test_another_filter_makes_a_snapshot_also_where_nothing_changed(
    catalogue: Catalogue, watch: Watch
) -> None:
    for name in ("Laser", "Mill"):
        observe(catalogue, name)
    await following(watch)
    watch.set_filter(Filter(name_pattern="mill"))
    assert names(await following(watch)) == ["Mill"]
    watch.set_filter(Filter(name_pattern="mill"))
    assert names(await following(watch)) == ["Mill"]
    observe(catalogue, "Lathe")
    assert await is_quiet(watch)


async def test_another_filter_wakes_a_reader(catalogue: Catalogue, watch: Watch) -> None:
    observe(catalogue, "Laser")
    await following(watch)
    reading = asyncio.ensure_future(following(watch))
    await asyncio.sleep(0)
    watch.set_filter(Filter(kind=Kind.CAMERA))
    assert names(await reading) == []


async def test_entries_are_removed_and_added_as_they_match_the_filter(
    catalogue: Catalogue,
) -> None:
    observe(catalogue, "Laser")
    with Watch(catalogue, Filter(kind=Kind.CAMERA)) as watch:
        assert names(await following(watch)) == []
        camera = Instance("Laser", ("10.0.0.1",), (Endpoint(Kind.CAMERA, 50052),))
        catalogue.observe(Observation(Source.MDNS, "Laser", camera))
        assert isinstance(added := await following(watch), Added)
        observe(catalogue, "Laser")
        assert await following(watch) == Removed(added.entry)


async def test_a_read_that_is_cancelled_loses_nothing(catalogue: Catalogue, watch: Watch) -> None:
    await following(watch)
    reading = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    observe(catalogue, "Laser")
    reading.cancel()
    await asyncio.wait([reading])
    assert isinstance(await following(watch), Added)


async def test_closing_it_ends_a_reader_that_waits(catalogue: Catalogue) -> None:
    watch = Watch(catalogue)
    seen: list[Change] = []

    async def read() -> None:
        async for change in watch:
            seen.append(change)  # noqa: PERF401  # seen one by one

    reading = asyncio.create_task(read())
    await until(lambda: seen)
    watch.close()
    await asyncio.wait_for(reading, 30)
    observe(catalogue, "Laser")
    assert len(seen) == 1
    assert not catalogue._listeners


_NAMES = ["Laser", "laser 2", "Mill", "Oven"]
_steps = st.one_of(
    st.tuples(st.just("observe"), st.sampled_from(_NAMES), st.integers(1, 3)),
    st.tuples(st.just("forget"), st.sampled_from(_NAMES)),
    st.tuples(st.just("filter"), st.sampled_from(["", "laser", "m*"])),
    st.tuples(st.just("read")),
)


class Reader:
    """Keeps the set that it is told of, as a client would."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.told: dict[str, Entry] = {}

    async def read(self) -> bool:
        """Take one change if there is one."""
        reading = asyncio.ensure_future(anext(self._watch))
        for _ in range(3):
            await asyncio.sleep(0)
        if not reading.done():
            reading.cancel()
            await asyncio.wait([reading])
            return False
        self._apply(reading.result())
        return True

    def _apply(self, change: Change) -> None:
        match change:
            case Snapshot(entries):
                self.told = {each.id: each for each in entries}
            case Added(entry):
                assert entry.id not in self.told
                self.told[entry.id] = entry
            case Updated(entry):
                assert self.told[entry.id].instance != entry.instance
                self.told[entry.id] = entry
            case Removed(entry):
                assert self.told.pop(entry.id) == entry


async def _run(steps: list[tuple[str | int, ...]]) -> None:
    catalogue = Catalogue(FakeClock())
    wanted = Filter()
    with Watch(catalogue, wanted) as watch:
        reader = Reader(watch)
        for step in steps:
            match step:
                case ("observe", str(name), int(port)):
                    observe(catalogue, name, port=port)
                case ("forget", str(name)):
                    forget(catalogue, name)
                case ("filter", str(pattern)):
                    wanted = Filter(name_pattern=pattern)
                    watch.set_filter(wanted)
                case _:
                    await reader.read()
        while await reader.read():
            pass
    assert reader.told == {each.id: each for each in catalogue.entries(wanted)}


@settings(max_examples=200)
@given(st.lists(_steps, max_size=40))
def test_the_final_report_is_what_matches(steps: list[tuple[str | int, ...]]) -> None:
    asyncio.run(_run(steps))
