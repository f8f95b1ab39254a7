"""Just enough of HTTP/1.1 to know where an answer ends."""

from __future__ import annotations

RETRY_AFTER_SECONDS = 1.0  # where a 503 names none


class Answer:
    """One HTTP/1.1 answer out of the bytes that come in: as long as Content-Length or the chunks say, or to the end."""

    def __init__(self) -> None:
        self.status = 0
        self.body = bytearray()
        self.complete = False
        self.closes = False
        self.retry_after = RETRY_AFTER_SECONDS
        self._waiting = bytearray()
        self._length: int | None = None
        self._chunked = False

    def feed(self, data: bytes) -> None:
        """Raises ValueError for bytes that are no HTTP, or more than one answer."""
        if self.complete:
            raise ValueError("bytes came after the answer's end")
        self._waiting += data
        if not self.status and not self._read_head():
            return
        if self._chunked:
            self._read_chunks()
        else:
            self.body += self._waiting
            self._waiting.clear()
            self.complete = self._length is not None and len(self.body) >= self._length
            if self.complete and len(self.body) != self._length:
                raise ValueError("bytes came after the answer's end")

    def end(self) -> None:
        """The connection ended, which completes an answer that says no length."""
        self.closes = True
        self.complete = self.complete or (self.status > 0 and self._length is None and not self._chunked)

    def _read_head(self) -> bool:
        end = self._waiting.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = bytes(self._waiting[:end]).split(b"\r\n")
        del self._waiting[: end + 4]
        self.status = int(first.split(b" ", 2)[1])
        for line in lines:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip().lower()
            if name == b"content-length":
                self._length = int(value)
            elif name == b"transfer-encoding":
                self._chunked = value == b"chunked"
            elif name == b"connection":
                self.closes = value == b"close"
            elif name == b"retry-after" and value.isdigit():
                self.retry_after = float(value)
        return True

    def _read_chunks(self) -> None:
        while (line := self._waiting.find(b"\r\n")) >= 0:
            size = int(bytes(self._waiting[:line]).split(b";")[0], 16)
            end = line + 2 + size + 2
            if len(self._waiting) < end:
                return
            self.body += self._waiting[line + 2 : line + 2 + size]
            del self._waiting[:end]
            if size == 0:  # no server here sends trailers: the empty line came right after
                self.complete = True
                if self._waiting:
                    raise ValueError("bytes came after the answer's end")
                return
