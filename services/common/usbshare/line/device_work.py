"""What became of work that a device's thread was given: every caller gets an answer."""

from __future__ import annotations

import asyncio

from usbshare.base.errors import DeviceError


def outcome_of(work: asyncio.Future[None], name: str) -> asyncio.Future[None]:
    """Return what becomes of the work, which need not be awaited and is not ended by that.

    DeviceError where the device ended before, so that no waiting task takes it for its own end.
    """
    outcome: asyncio.Future[None] = work.get_loop().create_future()

    def tell(work: asyncio.Future[None]) -> None:
        error = _error_of(work, name)
        if outcome.cancelled():
            return
        if error is None:
            outcome.set_result(None)
        else:
            outcome.set_exception(error)
            outcome.exception()  # retrieved, even if it is not awaited

    work.add_done_callback(tell)
    return outcome


def _error_of(work: asyncio.Future[None], name: str) -> BaseException | None:
    if work.cancelled():
        return DeviceError(f"{name} was closed")
    error = work.exception()
    if isinstance(error, OSError):
        return DeviceError(f"{name} is gone: {error.strerror or error}")
    return error
