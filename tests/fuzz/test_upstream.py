"""Whatever the program writes and the service grants, over lost links: no byte lost or doubled.

A model of the service takes what is sent, as far as it came when a link is lost, and tells what
it accepted when the session is taken up again.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from usbshare.client.serial.messages import Configure, Flush, Message, SendCommand, SendRealtime
from usbshare.client.serial.realtime_lane import MOST_REALTIME_BYTES
from usbshare.client.serial.upstream import READ_AHEAD_BYTES, Upstream
from usbshare.line.credit import Credit
from usbshare.line.profiles import GRBL, MARLIN, RAW, Profile
from usbshare.line.program_runs import ProgramRuns
from usbshare.line.settings import LineSettings

PLENTY = 1 << 30
LATER_S = 10.0
program_bytes = st.one_of(
    st.sampled_from([b"G1 X10\n", b"G0", b"\n", b"M5\n", b"x" * 1500]), st.binary(max_size=300)
)
stops = st.sampled_from([b"!", b"~", b"?", b"\x84", b"G1 X?1!\n", b"M410\n", b"M108\n"])


class Bridge(RuleBasedStateMachine):
    """An upstream, the program before it and the service behind it; no program resets itself.

    `accepted_for_good` is what the service has said that it has.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.epoch = 1
        self.upstream = Upstream(lambda: self.now)
        self.runs = ProgramRuns(lambda: self.now)
        self.profile: Profile = RAW
        self.is_up = True
        self.at_line_start = True
        self.written = bytearray()
        self.accepted = bytearray()
        self.accepted_for_good = 0
        self.commands = 0
        self.limits = (0, 0)
        self.settings_made = 0
        self.settings_taken: list[int] = []

    @initialize(profile=st.sampled_from([RAW, GRBL, MARLIN]))
    def begin(self, profile: Profile) -> None:
        self.profile = profile
        self.upstream.begin(epoch=self.epoch, profile=profile)

    @rule(data=st.one_of(program_bytes, stops))
    def the_program_writes(self, data: bytes) -> None:
        data = data[: self.upstream.room]
        data = b"" if self.resets(data) else data
        self.written += self.expected(data)
        self.upstream.add_program(data)

    def resets(self, data: bytes) -> bool:
        return b"\x18" in data or b"M112" in data.upper()

    def expected(self, data: bytes) -> bytes:
        program = self.runs.split(self.profile, data, self.at_line_start).program
        self.at_line_start = program.endswith(b"\n") if program else self.at_line_start
        return program

    @precondition(lambda self: self.is_up)
    @rule(data=program_bytes)
    def the_program_writes_a_line_that_may_pass(self, data: bytes) -> None:
        if not data or self.resets(data):
            return
        message = self.upstream.pass_through(data, self.now)
        if message is not None:
            self.written += data
            self.runs.passed(data)
            self.at_line_start = data.endswith(b"\n")
            self.take_in(message)

    @rule()
    def the_program_sets_the_line(self) -> None:
        self.settings_made += 1
        self.upstream.add_ordered(Configure(self.settings_made, LineSettings(baud=9600)))

    @precondition(lambda self: self.is_up)
    @rule(size=st.integers(0, 3000), commands=st.integers(0, 5), consumed=st.floats(0, 1))
    def the_service_grants(self, size: int, commands: int, consumed: float) -> None:
        self.accepted_for_good = len(self.accepted)
        self.limits = (
            max(self.limits[0], len(self.accepted) + size),
            max(self.limits[1], self.commands + commands),
        )
        before = self.upstream.unconsumed_bytes
        done = len(self.accepted) - int(before * (1 - consumed))
        self.upstream.credit(Credit(*self.limits, consumed_offset=done))

    @precondition(lambda self: self.is_up)
    @rule(most=st.integers(1, 5))
    def something_is_sent(self, most: int) -> None:
        for _ in range(most):
            self.now += LATER_S
            if self.upstream.wait_s(self.now) != 0:
                return
            self.take_in(self.upstream.take(self.now))

    def take_in(self, message: Message) -> None:
        match message:
            case SendCommand():
                assert message.offset == len(self.accepted)
                assert 1 <= len(message.data) <= 4096
                assert message.epoch == self.epoch
                self.accepted += message.data
                self.commands += 1
                assert message.id == self.commands
                assert len(self.accepted) <= self.limits[0]
                assert self.commands <= self.limits[1]
            case SendRealtime():
                assert 1 <= len(message.data) <= MOST_REALTIME_BYTES
                assert self.profile.is_realtime(message.data)
            case Configure():
                self.settings_taken.append(message.id)
            case Flush():
                raise AssertionError("nobody reset anything")

    @precondition(lambda self: self.is_up)
    @rule(unheard=st.floats(0, 1))
    def the_link_is_lost(self, unheard: float) -> None:
        """Lose it, and with it some of the last bytes sent."""
        self.is_up = False
        self.settings_taken.clear()
        lost = int((len(self.accepted) - self.accepted_for_good) * unheard)
        del self.accepted[len(self.accepted) - lost :]
        self.upstream.lose_link()

    @precondition(lambda self: not self.is_up)
    @rule()
    def the_session_is_taken_up(self) -> None:
        self.accepted_for_good = offset = len(self.accepted)
        assert self.upstream.can_resume(offset)
        self.upstream.resume(offset, self.commands, epoch=self.epoch, profile=self.profile)
        self.is_up = True

    @precondition(lambda self: self.is_up)
    @rule()
    def the_bytes_that_wait_arrive(self) -> None:
        self.limits = (PLENTY, PLENTY)
        consumed = len(self.accepted) - self.upstream.unconsumed_bytes
        self.accepted_for_good = len(self.accepted)
        self.upstream.credit(Credit(*self.limits, consumed_offset=consumed))
        while self.upstream.wait_s(self.now + LATER_S) == 0:
            self.now += LATER_S
            self.take_in(self.upstream.take(self.now))
        assert self.accepted == self.written
        assert self.upstream.waiting_bytes == 0

    @rule()
    def a_stop_moves_the_epoch(self) -> None:
        """Void what has not been sent, and what was sent and not consumed is not sent again."""
        if not self.is_up:
            return
        self.epoch += 1
        self.at_line_start = True
        dropped = self.upstream.port_changed(epoch=self.epoch, profile=self.profile)
        assert dropped == len(self.written) - len(self.accepted)
        del self.written[len(self.written) - dropped :]
        self.accepted_for_good = len(self.accepted)
        consumed = Credit(*self.limits, consumed_offset=len(self.accepted))
        self.upstream.credit(consumed)
        self.upstream.program_came()  # its port hung up

    @invariant()
    def nothing_is_made_up_and_the_order_stays(self) -> None:
        assert self.written.startswith(self.accepted)
        assert self.settings_taken == sorted(self.settings_taken)

    @invariant()
    def what_waits_is_bounded(self) -> None:
        window = max(0, self.limits[0] - len(self.accepted))
        assert 0 <= self.upstream.room <= READ_AHEAD_BYTES
        if self.is_up and self.limits[0] != PLENTY:
            assert self.upstream.waiting_bytes <= READ_AHEAD_BYTES + window + 4096


TestBridge = Bridge.TestCase
