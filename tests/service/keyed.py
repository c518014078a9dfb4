"""Keys for tests of the service, and their entries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vaekit_service.keys.key import entry, line, new_key

PAST = datetime.now(UTC) - timedelta(days=1)
KEYS = {name: new_key() for name in ("infer", "read", "admin", "all", "expired")}
ALL = ("infer", "read", "admin")
TEXT = "".join(
    line(name, entry(key, ALL if name in ("all", "expired") else [name], PAST if name == "expired" else None))
    for name, key in KEYS.items()
)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}
