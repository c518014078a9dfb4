"""`vae score`."""


def score() -> None:
    raise SystemExit("not written yet")
