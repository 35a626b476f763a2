"""Every program that starts removes the links that killed ones left, on systems that have links."""

from __future__ import annotations

import sys
import threading

_LONGEST_S = 0.5

if sys.platform == "win32":

    def remove_stale_links() -> None:
        """Do nothing: a virtual port of Windows has no link."""

else:
    from usbshare.line import name_link

    def remove_stale_links() -> None:
        """Remove the links of processes that were killed; a disk that hangs delays it 0.5 s."""
        sweep = threading.Thread(target=name_link.remove_stale_links, name="links", daemon=True)
        sweep.start()
        sweep.join(_LONGEST_S)


__all__ = ["remove_stale_links"]
