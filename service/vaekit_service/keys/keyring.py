"""Holds the keys of the service, finds the key of a request, and reads the key file again when it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hmac import compare_digest
from pathlib import Path
from time import time

from vaekit.errors import ConfigError
from vaekit_service.errors import ExpiredKey, MissingKey, ServiceError, UnknownKey
from vaekit_service.keys.file import is_open_to_others, read_file, signature
from vaekit_service.keys.key import Key, digest_of, parse
from vaekit_service.logs import Log

POLL_SECONDS = 1.0  # between two looks at the key file
INVALID = "the key is not valid: it is unknown, removed or expired"  # the same for all, so that nothing can be probed
_SCHEME = b"bearer "


class Keyring:
    """The keys that the service accepts.

    Args:
        source: a file of keys, which is read again when it changes; or a TOML text of keys; None: no key is needed.
        log: gets a line for each reload, also for those that fail.
        reloaded: called after each reload with whether it succeeded.

    Raises:
        ConfigError: the keys cannot be read, or there are none.
    """

    def __init__(self, source: Path | str | None, log: Log, reloaded: Callable[[bool], None] = lambda _: None) -> None:
        self.is_required = source is not None
        self._file = source if isinstance(source, Path) else None
        self._log, self._reloaded = log, reloaded
        # of the file as it was read, and at the last look; taken before it is read, since it may change meanwhile
        self._read = self._seen = None if self._file is None else signature(self._file)
        keys = read_file(source) if isinstance(source, Path) else parse(source or "", "VAE_KEYS")
        if source is not None and not keys:
            where = "VAE_KEYS" if self._file is None else f"key file {str(source)!r}"
            raise ConfigError(f"{where}: no key in it; add one: vae keys new NAME")
        self._keys = tuple(keys.values())
        self._watching: asyncio.Task[None] | None = None
        self._warn_of_permissions()

    def __len__(self) -> int:
        return len(self._keys)

    def identify(self, authorization: bytes | None) -> tuple[Key | None, ServiceError | None]:
        """The key of an Authorization header, if there is one, and why the request is refused, if it is.

        An expired key is returned with its refusal. A request without a key and one with a wrong key take the same
        steps as one with a right key: one hash, and one comparison with every key.
        """
        is_bearer = authorization is not None and authorization[: len(_SCHEME)].lower() == _SCHEME
        given = authorization[len(_SCHEME) :].strip() if authorization is not None and is_bearer else b""
        digest, found = digest_of(given), None
        for key in self._keys:
            if compare_digest(key.digest, digest):
                found = key
        if not given:
            return None, MissingKey("a key is required; send it as `Authorization: Bearer KEY`")
        if found is None:
            return None, UnknownKey(INVALID)
        if found.expires is not None and time() >= found.expires:
            return found, ExpiredKey(INVALID)
        return found, None

    def start(self) -> None:
        """Watch the key file, until `close`."""
        if self._file is not None:
            self._watching = asyncio.create_task(self._watch(), name="keyring")

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def look(self) -> None:
        """Read the key file again if it has changed and two looks found it alike: no half-written file is read."""
        assert self._file is not None
        seen = await asyncio.to_thread(signature, self._file)
        is_settled, self._seen = seen == self._seen, seen
        if is_settled and seen != self._read:
            await self.reload()

    async def reload(self) -> str | None:
        """Read the key file again, now.

        Returns:
            why it cannot be read: the keys are as before; None if they are those of the file.
        """
        if self._file is None:
            return None
        self._read = await asyncio.to_thread(signature, self._file)
        try:
            keys = await asyncio.to_thread(read_file, self._file)
        except ConfigError as exc:
            self._log.error("keys not reloaded, the old ones stay", reason=str(exc), keys=len(self._keys))
            self._reloaded(False)
            return str(exc)
        self._warn_of_permissions()
        before, self._keys = {key.name for key in self._keys}, tuple(keys.values())
        say = self._log.info if keys else self._log.warning  # without keys, everybody is refused
        say("keys reloaded", keys=len(keys), added=sorted(keys.keys() - before), removed=sorted(before - keys.keys()))
        self._reloaded(True)
        return None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.look()

    def _warn_of_permissions(self) -> None:
        if self._file is not None and is_open_to_others(self._file):
            self._log.warning("other users may add keys: chmod go-w", file=str(self._file))
