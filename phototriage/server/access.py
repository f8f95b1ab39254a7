"""API keys: who may ask at all. Several are valid at once, so that one can be replaced without a gap."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from time import monotonic

from starlette.requests import Request

from phototriage.common.errors import Unauthorized
from phototriage.settings import LEAST_KEY_LENGTH

LOOK_AGAIN_SECONDS = 5.0
SCHEME = "bearer"


class KeyFileError(Exception):
    """The file of keys can't be read, or holds none."""


class Access:
    """Keys from the settings and from a file, one a line, which is read again when it changes. Without any, all may
    ask. Kept and compared as hashes, every one each time, so that the time says nothing about them."""

    def __init__(self, keys: Iterable[str], file: Path | None = None) -> None:
        """Raises KeyFileError."""
        self._own = [_hash(key) for key in keys]
        self._file = file
        self._lock = Lock()
        self._looked = self._changed = 0.0
        self._of_file: list[bytes] = []
        if file is not None:
            self._changed = file.stat().st_mtime if file.is_file() else 0.0
            self._of_file = _read(file)
            self._looked = monotonic()

    @property
    def configured(self) -> bool:
        return bool(self._own) or self._file is not None

    def check(self, request: Request) -> None:
        """Raises Unauthorized where keys are configured and the request has none of them."""
        if self.configured:
            self._check(request)

    def demand(self, request: Request) -> None:
        """As `check`, where a key is needed in any case."""
        if not self.configured:
            raise Unauthorized(
                "This route needs a key, and the server has none. Set PHOTOTRIAGE_API_KEYS or "
                "PHOTOTRIAGE_API_KEYS_FILE."
            )
        self._check(request)

    def _check(self, request: Request) -> None:
        given = _given(request)
        if given is None:
            raise Unauthorized("The request has no key. Send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.")
        hashed = _hash(given)
        if not any([hmac.compare_digest(hashed, key) for key in (*self._own, *self._keys_of_file())]):  # noqa: C419
            raise Unauthorized("The request's key is none of those that are valid here. Ask for a new one.")

    def _keys_of_file(self) -> list[bytes]:
        if self._file is None or monotonic() - self._looked < LOOK_AGAIN_SECONDS:
            return self._of_file
        with self._lock:
            self._looked = monotonic()
            try:
                changed = self._file.stat().st_mtime
                if changed != self._changed:
                    self._of_file, self._changed = _read(self._file), changed
            except (OSError, KeyFileError):
                pass  # while it is being replaced, the old keys are valid
        return self._of_file


def _given(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == SCHEME and key.strip() else request.headers.get("x-api-key")


def _read(file: Path) -> list[bytes]:
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"The file of keys can't be read: {type(error).__name__}") from error
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise KeyFileError("The file of keys holds none: write one a line")
    if min(map(len, keys)) < LEAST_KEY_LENGTH:
        raise KeyFileError(f"The file of keys has one of fewer than {LEAST_KEY_LENGTH} characters: take a longer one")
    return [_hash(key) for key in keys]


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
