from fakes.clock import FakeClock
from usbshare.hosts.mdns.wire import Admission


def test_a_loud_sender_does_not_drown_another() -> None:
    admission = Admission(FakeClock())
    while admission.admits("192.0.2.1", 100):
        pass
    assert admission.admits("192.0.2.2", 100)


def test_the_packets_of_all_senders_are_bounded() -> None:
    admission = Admission(FakeClock())
    admitted = [
        admission.admits(f"192.0.2.{number}", 100) for number in range(256) for _ in "." * 50
    ]
    assert 0 < sum(admitted) < len(admitted)


def test_a_packet_larger_than_mdns_allows_is_not_admitted() -> None:
    admission = Admission(FakeClock())
    assert admission.admits("192.0.2.1", 9000)
    assert not admission.admits("192.0.2.1", 9001)
