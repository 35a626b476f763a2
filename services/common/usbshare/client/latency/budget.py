"""From what was measured to the parts of a round trip, with a warning where one is out of range."""

from __future__ import annotations

from usbshare.base.time_stats import TimeSummary
from usbshare.client.latency.records import Part, PartKind, PortLatency
from usbshare.client.serial.host_times import HostTimes, PortTimes
from usbshare.client.serial.messages import RemotePort
from usbshare.line.client_times import ClientTimes

MOST_WAKE_S = 0.020  # timers of Windows come in steps of 15.6 ms
MOST_BRIDGE_S = 1.0  # a full buffer of 4 KiB takes 0.36 s at 115200 baud, and is no fault
MOST_NETWORK_S = 0.020
MOST_JITTER_S = 0.020
MOST_SEND_S = 0.050
MOST_WRITE_S = 0.100
MOST_ANSWER_S = 0.050  # GRBL answers within 20 ms
SLOW_BAUD = 57600
LEAST_COUNT = 20  # of fewer the 95th percentile is the longest; one is no fault
_HOST, _CLIENT = "the host", "the client in control"
OURS = "this computer"


def budget(
    port: RemotePort, times: PortTimes | None, host: HostTimes, network: TimeSummary | None
) -> PortLatency:
    """Return the parts; `network` is as this computer measures it, used where nobody has control.

    None is not measured. `times` is None where an older service reports none.
    """
    holder = (times.holder if times else None) or ClientTimes()
    return PortLatency(
        port,
        (
            Part(PartKind.PROGRAM, holder.wake, _CLIENT, _program(holder.wake)),
            Part(PartKind.BRIDGE, holder.queue, _CLIENT, _bridge(port, holder.queue)),
            _network(holder, host.wake, network),
            _host(times, host.wake),
            _port(port, times),
            _firmware(port, times),
        ),
    )


def _network(holder: ClientTimes, host_wake: TimeSummary | None, ours: TimeSummary | None) -> Part:
    is_holders = holder.network is not None
    times, by = (holder.network, _CLIENT) if is_holders else (ours, OURS)
    is_explained = _is_over(holder.wake, MOST_WAKE_S) or _is_over(host_wake, MOST_WAKE_S)
    return Part(PartKind.NETWORK, times, by, "" if is_explained else _network_warning(times))


def _host(times: PortTimes | None, wake: TimeSummary | None) -> Part:
    warning = ""
    if _is_over(wake, MOST_WAKE_S):
        warning = (
            f"the host is overloaded: its service ran up to {_ms(wake)} late. Find out what "
            "uses its processor (`top`); on a Raspberry Pi check whether its power supply is "
            "too weak"
        )
    elif times is not None and _is_over(times.send, MOST_SEND_S):
        warning = (
            f"the machine's answers wait up to {_ms(times.send)} at the host: the client in "
            "control takes them too slowly, or its network does"
        )
    return Part(PartKind.HOST, times.queue if times else None, _HOST, warning)


def _port(port: RemotePort, times: PortTimes | None) -> Part:
    drain = times.drain if times else None
    return Part(PartKind.PORT, drain, _HOST, _port_warning(port, times))


def _port_warning(port: RemotePort, times: PortTimes | None) -> str:
    if port.low_latency is False:
        return (
            "the adapter's latency timer is 16 ms: each answer may wait that long in it. On the "
            f"host run `echo 1 | sudo tee /sys/class/tty/{_device_name(port)}/device/latency_timer`"
        )
    if times is not None and _is_over(times.write, MOST_WRITE_S):
        return (
            f"writing a command takes up to {_ms(times.write)}: the device accepts bytes "
            "irregularly. Check its cable and hub, and whether flow control stops it"
        )
    if port.state == "open" and port.profile.speaks_gcode and port.settings.baud <= SLOW_BAUD:
        line_ms = 40 / port.settings.bytes_per_s * 1e3
        return (
            f"the line is slow: at {port.settings.baud} baud a line of 40 bytes takes "
            f"{line_ms:.0f} ms. Set firmware and program to 115200 baud or more"
        )
    return ""


def _firmware(port: RemotePort, times: PortTimes | None) -> Part:
    answer, warning = times.answer if times else None, ""
    if _is_over(answer, MOST_ANSWER_S) and port.low_latency is not False:
        warning = (
            f"the firmware takes up to {_ms(answer)} to answer `?`; GRBL takes under 20 ms. "
            "It is busy, or something between host and firmware delays: an SD card, "
            "Wi-Fi on the controller, a USB hub"
        )
    return Part(PartKind.FIRMWARE, answer, _HOST, warning)


def _program(wake: TimeSummary | None) -> str:
    if not _is_over(wake, MOST_WAKE_S):
        return ""
    return (
        f"the program's computer is overloaded: the bridge ran up to {_ms(wake)} late. Close "
        "what uses its processor, and turn off its energy saving"
    )


def _bridge(port: RemotePort, queue: TimeSummary | None) -> str:
    if not _is_over(queue, MOST_BRIDGE_S):
        return ""
    return (
        f"the program's bytes wait up to {_ms(queue)} in the bridge: the machine takes them more "
        f"slowly than the program writes, at {port.settings.baud} baud. Stops overtake them; "
        "what the program shows is ahead of the machine by that much"
    )


def _network_warning(times: TimeSummary | None) -> str:
    if times is None or not _has(times):
        return ""
    if times.p95_s - times.p50_s > MOST_JITTER_S:
        return (
            "the network's delay varies: half of the round trips take up to "
            f"{_ms_of(times.p50_s)}, one in twenty {_ms(times)} or more, as over Wi-Fi. Use a "
            "cable, or let the host stream the program: `usbshare-bridge --buffered`, or a job"
        )
    if times.p50_s > MOST_NETWORK_S:
        return (
            f"the network is slow: a round trip takes {_ms_of(times.p50_s)}, and a program that "
            "waits for each answer waits that long for each line. Let the host stream the program: "
            "`usbshare-bridge --buffered`, or a job"
        )
    return ""


def _is_over(times: TimeSummary | None, most_s: float) -> bool:
    return _has(times) and times is not None and times.p95_s > most_s


def _has(times: TimeSummary | None) -> bool:
    """Return whether enough was measured of late to say something."""
    return times is not None and times.recent_count >= LEAST_COUNT


def _ms(times: TimeSummary | None) -> str:
    return _ms_of(times.p95_s if times else 0.0)


def _ms_of(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.0095 else f"{seconds * 1e3:.1f} ms"


def _device_name(port: RemotePort) -> str:
    return port.device.rpartition("/")[2] if port.device.startswith("/dev/tty") else "ttyUSB0"
