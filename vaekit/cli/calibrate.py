"""`vae calibrate`."""


def calibrate() -> None:
    raise SystemExit("not written yet")
