"""The extras of the distribution: whether what each brings is there, and what installs it here."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_BASE = ("click", "cryptography", "google.protobuf", "grpc", "platformdirs", "serial")
_SERVICE = (
    "grpc_health",
    "grpc_reflection",
    "ifaddr",
    "prometheus_client",
    "pydantic",
    "pyotp",
    "segno",
    "tomlkit",
)
# What each extra brings, as it is imported; a test compares with pyproject.toml.
MODULES: Mapping[str, tuple[str, ...]] = {
    "": _BASE,
    "serial": _SERVICE,
    "discovery": (*_SERVICE, "zeroconf"),
    "camera": (*_SERVICE, "cv2", "numpy"),
    "job": (*_SERVICE, "PIL"),
    "usb": _SERVICE,
    "bridge": (
        "aiohttp",
        "grpc_health",
        "ifaddr",
        "OpenSSL",
        "PIL",
        "prompt_toolkit",
        "pydantic",
        "segno",
        "tomlkit",
        "zeroconf",
    ),
    "h264": ("av",),
    "virtual-camera": ("numpy", "pyvirtualcam"),
}
PROGRAMS: Mapping[str, str] = {
    "usbshare-bridge": "bridge",
    "serial-svc": "serial",
    "camera-svc": "camera",
    "discovery-svc": "discovery",
    "job-svc": "job",
    "usb-svc": "usb",
}


def lacking(extra: str) -> list[str]:
    """Return the modules of the extra, and of the base, that are not installed; imports none."""
    return [name for name in (*_BASE, *MODULES[extra]) if not _is_there(name)]


def what_installs(extra: str) -> str:
    """Return the command that adds the extra where this process runs, the way it was installed."""
    return command_for(extra, Path(sys.prefix), _origin(), has_pip=_is_there("pip"))


def why_not(program: str) -> str:
    """Return in one line what a program of ours lacks and what installs it, empty if nothing."""
    extra = PROGRAMS[program]
    if not (missing := lacking(extra)):
        return ""
    is_or_are = "is" if len(missing) == 1 else "are"
    return (
        f"{', '.join(missing)} of usbshare[{extra}] {is_or_are} not installed: "
        f"{what_installs(extra)}"
    )


def require_extra(program: str) -> None:
    """End the process with one line if what a program of ours needs is not installed."""
    if why := why_not(program):
        sys.exit(f"{program}: {why}")


@contextmanager
def importing(program: str) -> Iterator[None]:
    """End the process with one line where a library, of the system too, cannot be imported.

    Until then no garbage is looked for: imports leave none, and to look is a tenth of their time.
    """
    gc.disable()
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "usbshare":
            raise
        again = what_installs(PROGRAMS[program])
        sys.exit(f"{program}: {error}: install that system library; if it is not one, {again}")
    finally:
        gc.enable()


def command_for(extra: str, prefix: Path, origin: Mapping[str, Any], *, has_pip: bool) -> str:
    """Return the command for an environment, and a PEP 610 origin (empty: a package index).

    uv and pipx recreate the environment, so it names the extras that are there too.
    """
    for receipt, install in (
        ("uv-receipt.toml", "uv tool install --force"),
        ("pipx_metadata.json", "pipx install --force"),
    ):
        if (prefix / receipt).exists():
            kept = [each for each in MODULES if each and each != extra and not lacking(each)]
            return f"{install} {_requirement(','.join([*kept, extra]), origin)}"
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    pip = f"{python} -m pip install" if has_pip else f"uv pip install --python {python}"
    return f"{pip} {_requirement(extra, origin)}"


def _requirement(extras: str, origin: Mapping[str, Any]) -> str:
    from urllib.parse import urlsplit  # noqa: PLC0415 - every start of a program comes by here
    from urllib.request import url2pathname  # noqa: PLC0415

    url = str(origin.get("url", ""))
    if not url:
        return f'"usbshare[{extras}]"'
    path = url2pathname(urlsplit(url).path) if url.startswith("file:") else ""
    if origin.get("dir_info", {}).get("editable"):
        return f'--editable "{path}[{extras}]"'
    if vcs := origin.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    wanted = f'"usbshare[{extras}] @ {url}"'
    is_gone = bool(path) and not Path(path).exists()
    return f"{wanted} (once {path} exists again)" if is_gone else wanted


def _origin() -> Mapping[str, Any]:
    from importlib.metadata import (  # noqa: PLC0415 - every start of a program comes by here
        PackageNotFoundError,
        distribution,
    )

    try:
        text = distribution("usbshare").read_text("direct_url.json")
    except PackageNotFoundError:
        return {}
    found: Mapping[str, Any] = json.loads(text) if text else {}
    return found


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # not even the package above it
        return False
