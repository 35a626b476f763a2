"""Requests that need control of a machine: unpack, one call, pack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from usbshare.client.serial.stop_report import SeenHold
from usbshare.line.stop_actions import StopAction
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.requests import Handler
from usbshare.panel.api.stop_requests import REASON, key_of
from usbshare.panel.jog.jogs import Jogs
from usbshare.panel.machines import ending, firmware_texts, motion
from usbshare.panel.machines.acting import Acting
from usbshare.panel.machines.control import GIVEN_UP, Control
from usbshare.panel.machines.controls import Controls
from usbshare.panel.machines.gcode import Rectangle
from usbshare.panel.socket import Page
from usbshare.rpc.wire_time import duration

Act = Callable[[Control, Any], Awaitable[None]]
_HANDED_OVER = "control was handed over"


def control_handlers(controls: Controls, jogs: Jogs, acting: Acting) -> Mapping[str, Handler]:
    """Return the handlers of requests that need control."""

    def handled(act: Act) -> Handler:
        async def handler(page: Page, asked: Any, request_id: int) -> pb.Answer:
            await act(controls.of(key_of(asked.machine)), asked)
            return pb.Answer()

        return handler

    async def take(control: Control, asked: pb.TakeControl) -> None:
        await control.take(from_holder=asked.from_holder)

    async def release(control: Control, asked: pb.ReleaseControl) -> None:
        jogs.end_of(control, GIVEN_UP)
        await ending.give_up(control)

    async def answer(control: Control, asked: pb.AnswerControlRequest) -> None:
        if asked.hands_over:
            jogs.end_of(control, _HANDED_OVER)
            await ending.give_up(control, _HANDED_OVER)

    async def cancel(control: Control, asked: pb.CancelMotion) -> None:
        jogs.end_of(control, "cancelled")
        await ending.cancel(control)

    async def send_line(page: Page, asked: pb.SendLine, request_id: int) -> pb.Answer:
        key, seen = key_of(asked.machine), SeenHold(asked.epoch, asked.hold_number)
        resume = partial(acting.stop, key, StopAction.RESUME, REASON, seen)
        reply = await motion.console_line(controls.of(key), asked.text, resume)
        return pb.Answer(
            line=pb.LineAnswer(
                reply=reply.text,
                meaning=firmware_texts.meaning(reply.text),
                answer_time=duration(reply.answer_s),
            )
        )

    return {
        "send_line": send_line,
        "take_control": handled(take),
        "release_control": handled(release),
        "answer_control_request": handled(answer),
        "cancel_motion": handled(cancel),
        "jog_step": handled(_unless_jogged(jogs, _step)),
        "home": handled(lambda control, asked: motion.home(control)),
        "unlock": handled(lambda control, asked: motion.unlock(control)),
        "set_zero": handled(_unless_jogged(jogs, _set_zero)),
        "go_to_zero": handled(
            lambda control, asked: motion.go_to_zero(control, asked.axes, asked.feed)
        ),
        "frame": handled(_frame),
        "pulse": handled(_pulse),
        "set_overrides": handled(_set_overrides),
    }


def _unless_jogged(jogs: Jogs, act: Act) -> Act:
    """Return it so that it does not wait behind a jog that somebody holds."""

    async def acted(control: Control, asked: Any) -> None:
        jogs.require_none(control)
        await act(control, asked)

    return acted


async def _step(control: Control, asked: pb.JogStep) -> None:
    await motion.step(control, asked.x_mm, asked.y_mm, asked.z_mm, asked.feed)


async def _set_zero(control: Control, asked: pb.SetZero) -> None:
    await motion.set_zero(control, asked.axes)


async def _frame(control: Control, asked: pb.Frame) -> None:
    box = asked.box
    rectangle = Rectangle(box.min_x_mm, box.min_y_mm, box.max_x_mm, box.max_y_mm)
    await motion.frame(control, rectangle, asked.feed, asked.power_percent)


async def _pulse(control: Control, asked: pb.Pulse) -> None:
    seconds = asked.duration.seconds + asked.duration.nanos * 1e-9
    await motion.pulse(control, asked.power_percent, seconds)


async def _set_overrides(control: Control, asked: pb.SetOverrides) -> None:
    feed, rapids, spindle = (
        getattr(asked, name) if asked.HasField(name) else None
        for name in ("feed_percent", "rapids_percent", "spindle_percent")
    )
    await motion.set_overrides(control, feed, rapids, spindle)
