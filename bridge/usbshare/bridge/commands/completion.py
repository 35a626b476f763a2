"""`usbshare-bridge completion`: shells complete commands, options, hosts and ports."""

from __future__ import annotations

from usbshare.service.commands.completion import completion_command

completion = completion_command("usbshare-bridge")
