"""`vae train`."""


def train() -> None:
    raise SystemExit("not written yet")
