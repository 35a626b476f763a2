"""Device bytes that were sent to one client and may not have come: kept to be sent again."""

from __future__ import annotations

from collections import deque


class Replay:
    """Keeps what a client has not acknowledged, `most_bytes` at most.

    Bytes may be missing between two chunks (a flush threw them away, or there was no room); the
    client was told then, or will be with the chunk that follows.
    """

    def __init__(self, start_offset: int, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._forgotten_to = start_offset

    def sent(self, offset: int, data: bytes) -> None:
        """Keep bytes that were sent; too many push out the oldest."""
        self._chunks.append((offset, data))
        self._size += len(data)
        while self._size > self._most_bytes:
            self._forget()

    def acknowledged(self, offset: int) -> None:
        """Forget what the client has."""
        chunks = self._chunks
        while chunks:
            begin, data = chunks[0]
            end = begin + len(data)
            if end > offset:
                return
            chunks.popleft()
            self._size -= end - begin
            self._forgotten_to = end

    def take_from(self, offset: int) -> list[tuple[int, bytes]] | None:
        """Return what a client that has all before `offset` lacks, and forget everything.

        None, and nothing is forgotten, if that is unknown here.
        """
        chunks = list(self._chunks)
        if offset != self._forgotten_to:
            while chunks and not _holds(chunks[0], offset):
                del chunks[0]
            if not chunks:
                return None
            start, data = chunks[0]
            chunks[0] = (offset, data[offset - start :])
        self._chunks.clear()
        self._size, self._forgotten_to = 0, offset
        return [chunk for chunk in chunks if chunk[1]]

    def _forget(self) -> None:
        offset, data = self._chunks.popleft()
        self._size -= len(data)
        self._forgotten_to = offset + len(data)


def _holds(chunk: tuple[int, bytes], offset: int) -> bool:
    start, data = chunk
    return start <= offset <= start + len(data)
