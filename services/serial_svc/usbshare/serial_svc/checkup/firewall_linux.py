"""Whether ufw or firewalld lets the service's ports through, as far as their files show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from usbshare.base.checkup import Judgement, fine, warning
from usbshare.serial_svc.checkup.firewall_ports import Opening, spans

_ROOT = Path("/")
_UFW_TUPLE = "### tuple ### "
_UFW_TAKES = ("allow", "limit")
_PORT_ELEMENT = re.compile(r"<port\s[^>]*>")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_MDNS = Opening("udp", 5353)


def judge_firewall(wanted: Iterable[Opening], root: Path = _ROOT) -> Judgement:
    """Report the ports that a firewall on this host blocks, and the commands that open them."""
    wanted = sorted(wanted)
    if _is_ufw_on(root):
        return _judge("ufw", wanted, _open_in_ufw(root, wanted), _ufw_commands(wanted))
    if _is_firewalld_on(root):
        found = _open_in_firewalld(root, wanted)
        return _judge("firewalld", wanted, found, _firewalld_command(wanted))
    return fine("neither ufw nor firewalld is on (other firewalls are not checked)")


def _judge(
    name: str, wanted: list[Opening], found: set[Opening] | None, commands: str
) -> Judgement:
    if found is None:
        return warning(
            f"{name} is on, and only root can read its rules", f"if needed, run {commands}"
        )
    if shut := [opening for opening in wanted if opening not in found]:
        return warning(f"{name} is on and blocks {_listed(shut)}", commands)
    return fine(f"{name} is on and allows {_listed(wanted)}")


def _listed(openings: Iterable[Opening]) -> str:
    return ", ".join(f"{protocol.upper()} {span}" for protocol, span in spans(openings, "-"))


# ufw


def _is_ufw_on(root: Path) -> bool:
    text = _text(root / "etc/ufw/ufw.conf") or ""
    return re.search(r"^\s*ENABLED\s*=\s*[\"']?yes", text, re.MULTILINE | re.IGNORECASE) is not None


def _ufw_commands(wanted: Iterable[Opening]) -> str:
    commands = (f"sudo ufw allow {span}/{protocol}" for protocol, span in spans(wanted, ":"))
    return f"`{' && '.join(commands)}`"


def _open_in_ufw(root: Path, wanted: list[Opening]) -> set[Opening] | None:
    if 'DEFAULT_INPUT_POLICY="ACCEPT"' in (_text(root / "etc/default/ufw") or ""):
        return set(wanted)
    files = ("etc/ufw/user.rules", "etc/ufw/user6.rules", "etc/ufw/before.rules")
    user, user6, before = (_text(root / name) for name in files)
    if user is None:
        return None
    rules = [line for text in (user, user6 or "") for line in text.splitlines()]
    found = {each for each in wanted if any(_ufw_lets(rule, each) for rule in rules)}
    # ufw's default rules allow multicast DNS.
    return found | ({_MDNS} if "--dport 5353 -j ACCEPT" in (before or "") else set())


def _ufw_lets(rule: str, wanted: Opening) -> bool:
    if not rule.startswith(_UFW_TUPLE):
        return False
    # action protocol port destination port source [application ...] direction
    fields = rule.removeprefix(_UFW_TUPLE).split()
    if len(fields) < 7 or not fields[0].startswith(_UFW_TAKES):
        return False
    if not any(field == "in" or field.startswith("in_") for field in fields[6:]):
        return False
    ports = fields[2].replace(":", "-").split(",")
    return fields[1] in ("any", wanted.protocol) and any(_spans(p, wanted.port) for p in ports)


# firewalld


def _is_firewalld_on(root: Path) -> bool:
    return any((root / name).exists() for name in ("run/firewalld", "run/firewalld.pid"))


def _firewalld_command(wanted: Iterable[Opening]) -> str:
    options = (f"--add-port={span}/{protocol}" for protocol, span in spans(wanted, "-"))
    return f"`sudo firewall-cmd --permanent {' '.join(options)} && sudo firewall-cmd --reload`"


def _open_in_firewalld(root: Path, wanted: list[Opening]) -> set[Opening] | None:
    settings = _text(root / "etc/firewalld/firewalld.conf")
    if settings is None:
        return None
    named = re.search(r"^DefaultZone=(\S+)", settings, re.MULTILINE)
    name = f"firewalld/zones/{named[1] if named else 'public'}.xml"
    zone = _text(root / "etc" / name) or _text(root / "usr/lib" / name)
    if zone is None:
        return None
    elements = [dict(_ATTRIBUTE.findall(each)) for each in _PORT_ELEMENT.findall(zone)]
    found = {each for each in wanted if any(_firewalld_lets(e, each) for e in elements)}
    return found | ({_MDNS} if '<service name="mdns"' in zone else set())


def _firewalld_lets(element: dict[str, str], wanted: Opening) -> bool:
    is_protocol = element.get("protocol") == wanted.protocol
    return is_protocol and _spans(element.get("port", ""), wanted.port)


def _spans(text: str, port: int) -> bool:
    """Return whether `any`, `50051` or `50051-50053` has the port."""
    if text == "any":
        return True
    first, _, last = text.partition("-")
    last = last or first
    return first.isdecimal() and last.isdecimal() and int(first) <= port <= int(last)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
