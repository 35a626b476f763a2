"""H.264 for many viewers: all get every picture in order, or a key frame, or JPEG for a while."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.video import Eyes, FarEyes, VideoBench, run_far
from usbshare.camera_svc.picture.frame import Format, Recipe
from usbshare.camera_svc.viewers.h264_position import FALLBACK_S, MOST_LOSSES, WITHIN_S
from usbshare.camera_svc.viewers.streams import MOST_STREAMS
from usbshare.camera_svc.viewers.viewer import View


@pytest.fixture
def bench() -> VideoBench:
    return VideoBench()


def lose_one(bench: VideoBench, slow: Eyes, *fast: Eyes) -> None:
    """Let one not acknowledge until it misses pictures, and then go on."""
    bench.run(0.5, *fast)
    slow.look()
    bench.run(1.2, slow, *fast)


def test_all_viewers_get_every_picture_in_order_from_one_encoder(bench: VideoBench) -> None:
    crowd = [bench.eyes() for _ in range(8)]
    bench.run(2, *crowd)
    assert len(bench.video.made) == 60
    for eyes in crowd:
        assert [picture.sequence for picture in eyes.seen] == list(range(1, 61))
        assert eyes.keys == [1]
    assert not bench.jpegs


def test_a_new_viewer_is_given_a_key_frame(bench: VideoBench) -> None:
    first = bench.eyes()
    bench.run(2, first)
    second = bench.eyes()
    bench.run(0.1, first, second)
    assert second.seen[0].is_key
    assert [picture.sequence for picture in second.seen] == [61, 62, 63]
    assert bench.video.keys == [1, 61]


def test_many_new_viewers_share_a_key_frame_per_second(bench: VideoBench) -> None:
    crowd = [bench.eyes()]
    for _ in range(20):
        bench.run(0.1, *crowd)
        crowd.append(bench.eyes())
    bench.run(1.1, *crowd)
    keys = bench.video.keys
    assert all(later - earlier >= 30 for earlier, later in pairwise(keys))
    assert len(keys) == 3
    assert all(eyes.seen for eyes in crowd)


def test_a_viewer_that_missed_pictures_is_given_a_key_frame(bench: VideoBench) -> None:
    fast, slow = bench.eyes(), bench.eyes()
    bench.run(2, fast, slow)
    bench.run(0.5, fast)
    assert len(slow.seen) == 60
    bench.run(0.1, fast, slow)
    assert slow.keys == [1, slow.seen[60].sequence]
    assert slow.formats == [Format.H264] * len(slow.seen)
    assert slow.seen[-1].sequence == bench.sequence


def test_a_short_stall_beside_others_costs_no_key_frame(bench: VideoBench) -> None:
    fast, slow = bench.eyes(), bench.eyes()
    bench.run(2, fast, slow)
    bench.run(0.2, fast)
    bench.run(1, fast, slow)
    assert bench.video.keys == [1]
    assert [picture.sequence for picture in slow.seen] == list(range(1, bench.sequence + 1))


def test_a_picture_that_waited_too_long_is_never_sent(bench: VideoBench) -> None:
    fast, slow = bench.eyes(), bench.eyes()
    bench.run(1, fast, slow)
    slow.viewer.take()
    bench.run(5, fast)
    slow.look()
    bench.run(0.1, fast, slow)
    late = [picture for picture in slow.seen[30:] if picture.sequence < bench.sequence - 10]
    assert not late
    assert slow.viewer.counters.dropped_window > 100


def test_a_full_window_of_the_only_viewer_costs_no_key_frame(bench: VideoBench) -> None:
    slow = bench.eyes()
    for _ in range(30):
        bench.run(0.2)  # takes nothing
        slow.look()
        bench.fanout.serve()
        bench.executor.run_all()
    assert bench.video.keys == [1]
    assert len(slow.seen) >= 30


def test_a_waiting_picture_is_never_replaced_by_one_that_builds_on_it(bench: VideoBench) -> None:
    eyes = bench.eyes(window=3)
    for _ in range(3):
        bench.run(0.1)
        assert eyes.take() is not None
        assert eyes.take() is None
        eyes.acknowledge()
        bench.fanout.serve()
    assert eyes.keys == [1]


def test_nothing_is_encoded_while_all_wait_for_a_key_frame(bench: VideoBench) -> None:
    first = bench.eyes()
    bench.run(0.5, first)
    second = bench.eyes()
    bench.fanout.leave(first.viewer)
    bench.run(0.4, second)
    assert len(bench.video.made) == 15
    bench.run(0.5, second)
    assert bench.video.keys == [1, second.seen[0].sequence]


def test_a_viewer_that_misses_often_gets_jpeg_and_costs_the_others_no_more(
    bench: VideoBench,
) -> None:
    fast, slow = bench.eyes(), bench.eyes()
    bench.run(2, fast, slow)
    for _ in range(MOST_LOSSES):
        lose_one(bench, slow, fast)
    keys = len(bench.video.keys)
    assert keys == 1 + MOST_LOSSES
    lose_one(bench, slow, fast)
    assert slow.shows(Format.JPEG)
    assert set(fast.formats) == {Format.H264}
    assert len(bench.video.keys) == keys
    assert fast.seen[-1].sequence == bench.sequence


def test_a_viewer_that_rarely_misses_keeps_h264(bench: VideoBench) -> None:
    fast, slow = bench.eyes(), bench.eyes()
    bench.run(2, fast, slow)
    for _ in range(4 * MOST_LOSSES):
        lose_one(bench, slow, fast)
        bench.run(WITHIN_S / (MOST_LOSSES - 1), fast, slow)
    assert set(slow.formats) == {Format.H264}


def test_h264_comes_back_after_a_while_with_a_key_frame(bench: VideoBench) -> None:
    fast, slow = bench.eyes(), bench.eyes()
    bench.run(2, fast, slow)
    for _ in range(MOST_LOSSES):
        lose_one(bench, slow, fast)
    bench.run(FALLBACK_S + 2, fast, slow)
    assert slow.shows(Format.H264)
    back = len(slow.formats) - 1 - slow.formats[::-1].index(Format.JPEG)
    assert slow.seen[back + 1].is_key


def test_repeated_failures_lengthen_the_pause(bench: VideoBench) -> None:
    fast, slow = bench.eyes(), bench.eyes()
    bench.run(2, fast, slow)
    for wait_s in (FALLBACK_S, 2 * FALLBACK_S):
        for _ in range(MOST_LOSSES):
            lose_one(bench, slow, fast)
        bench.run(wait_s - 5, fast, slow)
        assert slow.shows(Format.JPEG)
        bench.run(5, fast, slow)
        assert slow.shows(Format.H264)


def test_another_size_of_the_view_is_another_stream(bench: VideoBench) -> None:
    eyes = bench.eyes()
    bench.run(1, eyes)
    eyes.viewer.adjust(View(width=640, format=Format.H264))
    bench.run(1, eyes)
    assert [recipe.width for recipe in bench.video.streams] == [640]
    assert eyes.keys == [1, 31]


def test_a_lower_rate_is_a_stream_of_its_own_and_shared(bench: VideoBench) -> None:
    full = bench.eyes()
    bench.run(0.05, full)
    slower = [bench.eyes(fps=10.0)]
    bench.run(0.05, full, *slower)
    slower.append(bench.eyes(fps=10.0))
    bench.run(10, full, *slower)
    assert len(bench.video.streams) == 2
    for eyes in slower:
        assert len(eyes.seen) == pytest.approx(100, abs=12)
    assert len(full.seen) == bench.sequence
    assert len(bench.video.keys) <= 4


def test_a_rate_that_the_camera_has_anyway_shares_its_stream(bench: VideoBench) -> None:
    both = [bench.eyes(), bench.eyes(fps=30.0)]
    bench.run(1, *both)
    assert list(bench.video.streams) == [Recipe(0, 80, Format.H264)]


def test_qualities_that_are_about_the_same_share_a_stream(bench: VideoBench) -> None:
    both = [bench.eyes(), bench.eyes(quality=78)]
    bench.run(1, *both)
    assert len(bench.video.streams) == 1


def test_jpeg_and_h264_viewers_do_not_disturb_each_other(bench: VideoBench) -> None:
    video, jpeg = bench.eyes(), bench.eyes(encoding=Format.JPEG)
    bench.fanout.most_at_once = 2
    bench.run(2, video, jpeg)
    assert set(jpeg.formats) == {Format.JPEG}
    assert len(jpeg.seen) == len(video.seen) == 60


def test_a_placeholder_reaches_h264_viewers_and_then_a_key_frame(bench: VideoBench) -> None:
    eyes = bench.eyes()
    bench.run(2, eyes)
    bench.lose()
    eyes.look()
    assert eyes.seen[-1].is_placeholder
    bench.run(0.1, eyes)
    assert eyes.shows(Format.H264)
    assert len(eyes.keys) == 2
    assert set(eyes.formats[-3:]) == {Format.H264}


def test_a_stream_ends_with_its_last_viewer(bench: VideoBench) -> None:
    crowd = [bench.eyes(), bench.eyes(), bench.eyes(width=640)]
    bench.run(1, *crowd)
    assert len(bench.video.streams) == 2
    for eyes in crowd:
        bench.fanout.leave(eyes.viewer)
    bench.executor.run_all()
    assert not bench.video.streams


def test_a_stream_ends_though_its_viewer_left_while_a_picture_was_made(bench: VideoBench) -> None:
    eyes = bench.eyes()
    bench.capture()
    bench.fanout.leave(eyes.viewer)
    bench.executor.run_all()
    assert not bench.video.streams


def test_more_streams_than_may_be_are_jpeg(bench: VideoBench) -> None:
    crowd = [bench.eyes(width=160 * (1 + number)) for number in range(MOST_STREAMS + 1)]
    bench.fanout.most_at_once = 2 * MOST_STREAMS
    bench.run(1, *crowd)
    assert len(bench.video.streams) == MOST_STREAMS
    assert [eyes.formats[0] for eyes in crowd].count(Format.JPEG) == 1


def test_an_encoder_that_fails_is_replaced_by_jpeg_and_is_no_bad_frame(bench: VideoBench) -> None:
    eyes = bench.eyes()
    bench.video.fails = True
    bench.run(1, eyes)
    assert set(eyes.formats) == {Format.JPEG}
    assert len(eyes.seen) == 30
    assert not bench.failures


def test_without_an_encoder_all_get_jpeg(bench: VideoBench) -> None:
    bench.fanout.video = None
    eyes = bench.eyes()
    bench.run(1, eyes)
    assert set(eyes.formats) == {Format.JPEG}
    assert bench.jpegs[0] == Recipe(0, 0)


def test_a_slow_link_makes_the_pictures_smaller(bench: VideoBench) -> None:
    eyes = bench.eyes()
    bench.capture()
    bench.executor.run_all()
    eyes.take()
    bench.now += 0.5  # a key frame's way
    eyes.acknowledge()
    bench.run(1, eyes)
    assert eyes.viewer.recipe(1280).width in range(16, 1280)
    assert eyes.viewer.recipe(1280).format is Format.H264


LINKS = {
    "2 Mbit/s alone": [(250_000, 0.02)],
    "2 Mbit/s beside a fast one": [(250_000, 0.02), (100_000_000, 0.001)],
    "0.5 Mbit/s beside a fast one": [(60_000, 0.05), (100_000_000, 0.001)],
    "8 Mbit/s beside a fast one": [(1_000_000, 0.05), (100_000_000, 0.001)],
}


@pytest.mark.parametrize("links", LINKS.values(), ids=LINKS.keys())
def test_a_slow_link_gets_fresh_pictures_and_a_fast_one_all(
    bench: VideoBench, links: list[tuple[float, float]]
) -> None:
    far = [FarEyes(bench, *link) for link in links]
    bench.fanout.most_at_once = len(links)
    run_far(bench, 40, far)
    assert far[0].oldest_s(since=5) <= 0.4
    assert far[0].fps(since=5) >= 25
    assert {picture.format for picture in far[0].eyes.seen} == {Format.H264}
    for fast in far[1:]:
        assert fast.fps(since=5) >= 29


STEPS = ("capture", "encode", "take", "acknowledge", "serve", "join", "leave", "adjust", "lose")


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3)), max_size=150))
def test_no_viewer_ever_gets_a_frame_that_it_cannot_decode(
    steps: list[tuple[str, int]],
) -> None:
    bench = VideoBench()
    bench.fanout.most_at_once = 2
    crowd = [bench.eyes(window=1), bench.eyes(window=3), bench.eyes(window=2, fps=10.0)]
    for step, number in steps:
        eyes = crowd[number % len(crowd)] if crowd else None
        if step == "capture":
            bench.capture()
        elif step == "encode":
            bench.executor.run_one()
        elif step == "serve":
            bench.fanout.serve()
        elif step == "lose":
            bench.lose()
        elif step == "join":
            crowd.append(bench.eyes(window=1 + number % 3))
        elif eyes is not None:
            _one(step, eyes, bench, crowd)
    for eyes in tuple(crowd):
        bench.fanout.leave(eyes.viewer)
    bench.executor.run_all()
    assert not bench.video.streams


def _one(step: str, eyes: Eyes, bench: VideoBench, crowd: list[Eyes]) -> None:
    if step == "take":
        eyes.take()
    elif step == "acknowledge":
        eyes.acknowledge()
        bench.fanout.serve((eyes.viewer,))
    elif step == "leave":
        crowd.remove(eyes)
        bench.fanout.leave(eyes.viewer)
    elif step == "adjust":
        encoding = Format.JPEG if eyes.viewer.view.format is Format.H264 else Format.H264
        eyes.viewer.adjust(View(format=encoding))
