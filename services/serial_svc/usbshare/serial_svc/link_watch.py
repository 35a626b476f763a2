"""Notices that the client in control is gone, stops its machine, and waits for it to come back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from usbshare.common.errors import DeviceError
from usbshare.common.profiles import StopAction
from usbshare.serial_svc.link_loss import LinkLossPolicy, action_of, policy_of

if TYPE_CHECKING:
    from usbshare.serial_svc.port import SerialPort
    from usbshare.serial_svc.session import Session

log = logging.getLogger(__name__)

WHO = "link-loss policy"


class LinkWatch:
    """Watches one port's control session: heard, silent (lost), not taken up in time (ended)."""

    def __init__(self, port: SerialPort, clock: Callable[[], float]) -> None:
        self._port = port
        self._clock = clock
        self._session: Session | None = None
        self._is_lost = self._needs_person = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the session in control is lost."""
        return self._is_lost

    @property
    def needs_person(self) -> bool:
        """Whether what is held waits for a person."""
        return self._needs_person and self._session is not None

    def begin(self, session: Session) -> None:
        """Watch a session that took control, or came back."""
        if session is not self._session:
            self._needs_person = False
        self._session, self._is_lost = session, False
        if session.is_held and not self._needs_person:
            session.release()
        self._look_in(self._port.config.link_timeout_s)

    def end(self) -> None:
        """Watch nobody."""
        self._session = None
        self._needs_person = False
        if self._timer is not None:
            self._timer.cancel()

    def lose(self, why: str) -> None:
        """Take the session for lost now: act on the machine, hold its queue, end its stream."""
        session, port = self._session, self._port
        if session is None or self._is_lost:
            return
        self._is_lost = True
        port.counters.lost_sessions += 1
        self.act(f"lost {session.holder.identity}: {why}")
        log.warning("port '%s': lost %s: %s", port.id, session.holder, why)
        port.witness.lost(session.client, why)
        session.detach(f"port '{port.id}': the session is lost: {why}")
        if port.config.resume_window_s > 0:
            self._look_in(port.config.resume_window_s)
        else:
            self._give_up(session, why)

    def act(self, why: str) -> asyncio.Task[None] | None:
        """Do to a machine at work what the port's policy says, and hold what is queued.

        Returns what acts, None if nothing is to be done.
        """
        port, session = self._port, self._session
        policy = policy_of(port.config.link_loss, port.profile)
        if policy is LinkLossPolicy.CONTINUE:
            return None
        if session is not None:
            session.hold()
        action = action_of(policy)
        if action is None or action not in port.profile.stops:
            return None
        if not port.activity.is_active or not port.is_open:
            return None
        if action is not StopAction.EMERGENCY_STOP and not port.profile.hold_keeps_program:
            port.end_epoch()
        self._needs_person = True
        port.counters.link_loss_actions += 1
        return port.run(self._stop(action, why), action.value)

    def person_resumed(self) -> None:
        """Let what was held for a person go out, once its client is there to follow it up."""
        self._needs_person = False
        if self._session is not None and not self._is_lost:
            self._session.release()

    async def _stop(self, action: StopAction, why: str) -> None:
        with suppress(DeviceError):  # the stop path has logged it
            await self._port.stop_path.stop(action, WHO, why)

    def _look_in(self, wait_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        session = self._session
        if session is None:
            return
        if self._is_lost:
            window_s = self._port.config.resume_window_s
            self._give_up(session, f"not taken up again within {window_s:g} s")
            return
        silent_s = self._clock() - session.last_heard
        left_s = self._port.config.link_timeout_s - silent_s
        if left_s > 0:
            self._look_in(left_s)
        else:
            self.lose(f"nothing heard for {silent_s:.2f} s")

    def _give_up(self, session: Session, why: str) -> None:
        """End a lost session; work in which the machine was stopped ends with it."""
        if self._needs_person:
            self._port.end_epoch()
        session.end(why)
