"""Jog a GRBL machine by the RPCs alone: python jog.py TARGET CLIENT_PEM [PORT_ID].

Needs grpcio, protobuf and the generated modules of usbshare.serial.v1, nothing else of usbshare.
"""
# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc

from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub

COMMANDS = ["$J=G91 X5 F3000", "$J=G91 Y5 F3000", "$J=G91 X-5 Y-5 F3000"]
LAST_LINE = re.compile(rb"^(ok|error:\d+|ALARM:\d+)\r?\n", re.MULTILINE)


def credentials(bundle: Path) -> grpc.ChannelCredentials:
    """Return the trust in client.pem, which holds key, certificate and authority, in this order."""
    block = rb"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----\n"
    key, certificate, *authorities = re.findall(block, bundle.read_bytes(), re.DOTALL)
    return grpc.ssl_channel_credentials(b"".join(authorities), key, certificate)


class Session:
    """A control session on one port."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._call = SerialServiceStub(channel).Session()
        self._write_lock = asyncio.Lock()
        self._closing = asyncio.Event()
        self._credit = pb.Credit()
        self._epoch = self._offset = self._sent = self._received = 0

    async def open(self, port_id: str) -> pb.Opened:
        """Open the session; the first answer is `opened`."""
        mode = pb.SESSION_MODE_CONTROL
        await self._write(open=pb.Open(port_id=port_id, mode=mode, client_name="jog.py"))
        return (await self.next()).opened

    async def next(self) -> pb.SessionResponse:
        """Return the next response, after noting what it says of credit, epoch and offset.

        Raises ConnectionError once the epoch has ended: jogging must not go on after a stop.
        """
        response = await self._call.read()
        if response is grpc.aio.EOF:
            raise ConnectionError("the session ended without `closed`")
        if response.HasField("credit"):
            self._credit = response.credit
        if response.HasField("opened"):
            self._epoch = response.opened.port.epoch
        if response.HasField("port_changed") and response.port_changed.port.epoch != self._epoch:
            raise ConnectionError("a stop or a reset has ended what this program was doing")
        if response.HasField("data"):
            self._received = response.data.offset + len(response.data.data)
        return response

    async def ask(self, line: str) -> bytes:
        """Send a line as soon as there is credit for it, and return the machine's answer."""
        data = line.encode() + b"\n"
        while (
            self._offset + len(data) > self._credit.limit_offset
            or self._sent >= self._credit.limit_commands
        ):
            await self.next()
        self._sent += 1
        command = pb.Command(id=self._sent, epoch=self._epoch, offset=self._offset, data=data)
        self._offset += len(data)
        await self._write(command=command)
        answer = b""
        while not LAST_LINE.search(answer):
            response = await self.next()
            answer += response.data.data
            outcome = response.command_result.outcome
            if outcome not in (pb.COMMAND_OUTCOME_UNSPECIFIED, pb.COMMAND_OUTCOME_WRITTEN):
                raise ConnectionError(response.command_result.message)
        return answer

    async def beat(self) -> None:
        """Show four times a second that this client lives, until `close`."""
        number = 0
        while not self._closing.is_set():
            number += 1
            await self._write(heartbeat=pb.Heartbeat(id=number))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), 0.25)

    async def close(self, beating: asyncio.Task[None]) -> None:
        """End the session cleanly; the last answer is `closed`."""
        self._closing.set()
        await beating  # a write that is cancelled would cancel the whole RPC
        await self._write(close=pb.Close())
        while not (await self.next()).HasField("closed"):
            pass

    async def _write(self, **message: Any) -> None:
        async with self._write_lock:  # grpc.aio takes one message at a time
            await self._call.write(pb.SessionRequest(received_offset=self._received, **message))


async def jog(target: str, bundle: Path, port_id: str = "") -> None:
    """Open a session, jog a triangle, close the session."""
    async with grpc.aio.secure_channel(target, credentials(bundle)) as channel:
        session = Session(channel)
        opened = await session.open(port_id)
        print(f"opened port '{opened.port.id}', session {opened.session_id}")
        beating = asyncio.create_task(session.beat())
        for line in COMMANDS:
            answer = await session.ask(line)
            lines = filter(None, answer.decode().splitlines())
            print(f"{line} -> {', '.join(lines)}")
        await session.close(beating)
        print("closed")


if __name__ == "__main__":
    try:
        asyncio.run(jog(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
    except grpc.aio.AioRpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
    except ConnectionError as error:
        sys.exit(str(error))
