"""API keys. Several are valid at once, so that one can be replaced without an interruption."""

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

RELOAD_SECONDS = 5.0  # from one check for a changed file of keys to the next
SCHEME = "bearer"


class KeyFileError(Exception):
    """The file of keys can't be read, or holds none."""


class Access:
    """Keys from the settings and from a file of one key a line, which is read again when it changes. Without any, every
    request is allowed.

    Only hashes are kept. Each request's key is compared with all of them, so that the time says nothing about the keys.
    """

    def __init__(self, keys: Iterable[str], file: Path | None = None) -> None:
        """Raises KeyFileError."""
        self._setting_keys = [_hash(key) for key in keys]
        self._file = file
        self._lock = Lock()
        self._checked_at = self._modified_at = 0.0
        self._file_keys: list[bytes] = []
        if file is not None:
            self._modified_at = file.stat().st_mtime if file.is_file() else 0.0
            self._file_keys = _read(file)
            self._checked_at = monotonic()

    @property
    def configured(self) -> bool:
        """Whether requests need a key."""
        return bool(self._setting_keys) or self._file is not None

    def check(self, request: Request) -> None:
        """Raises Unauthorized where keys are configured and the request has none of them."""
        if self.configured:
            self._check(request)

    def demand(self, request: Request) -> None:
        """As `check`, for routes that need a key even if none is configured."""
        if not self.configured:
            raise Unauthorized(
                "This route needs a key, and the server has none. Set PHOTOTRIAGE_API_KEYS or "
                "PHOTOTRIAGE_API_KEYS_FILE."
            )
        self._check(request)

    def _check(self, request: Request) -> None:
        key = _key_of(request)
        if key is None:
            raise Unauthorized("The request has no key. Send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.")
        hashed = _hash(key)
        if not any([hmac.compare_digest(hashed, valid) for valid in (*self._setting_keys, *self._keys_of_file())]):  # noqa: C419
            raise Unauthorized("The request's key is none of those that are valid here. Ask for a new one.")

    def _keys_of_file(self) -> list[bytes]:
        if self._file is None or monotonic() - self._checked_at < RELOAD_SECONDS:
            return self._file_keys
        with self._lock:
            self._checked_at = monotonic()
            try:
                modified_at = self._file.stat().st_mtime
                if modified_at != self._modified_at:
                    self._file_keys, self._modified_at = _read(self._file), modified_at
            except (OSError, KeyFileError):
                pass  # while the file is being replaced, the old keys stay valid
        return self._file_keys


def _key_of(request: Request) -> str | None:
    """The key in either header."""
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
