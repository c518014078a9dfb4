"""`vae serve`."""


def serve() -> None:
    raise SystemExit("not written yet")
