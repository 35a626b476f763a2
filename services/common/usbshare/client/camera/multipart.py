"""Pictures as parts of `multipart/x-mixed-replace`, as cameras of the web send them."""

from __future__ import annotations

from usbshare.client.camera.view import Picture

BOUNDARY = "usbshare-picture"
CONTENT_TYPE = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
_LINE = f"--{BOUNDARY}\r\n".encode()
_TYPE = b"Content-Type: image/jpeg\r\n"


def wants_early_header(user_agent: str) -> bool:
    """Return whether the browser shows a part only when the header of the next one has come.

    Chromium and WebKit do; others want the length, which is not known so early.
    """
    return "applewebkit" in user_agent.casefold()


def opening(*, early_header: bool) -> bytes:
    """Return what comes before the first picture."""
    return _LINE + _TYPE + b"\r\n" if early_header else _LINE


def part(picture: Picture, *, early_header: bool) -> bytes:
    """Return a picture up to where the next one begins, so that it can be shown at once."""
    data = picture.frame.data
    if early_header:
        return b"".join((data, b"\r\n", opening(early_header=True)))
    return b"".join((_header(picture), data, b"\r\n", _LINE))


def _header(picture: Picture) -> bytes:
    frame = picture.frame
    lines = (
        f"Content-Length: {len(frame.data)}",
        f"X-Timestamp: {frame.captured_s:.6f}",
        f"X-Usbshare-Sequence: {frame.sequence}",
    )
    return _TYPE + "\r\n".join(lines).encode() + b"\r\n\r\n"
