"""Runs the `vae` command as `python -m vaekit`."""

from vaekit.cli import main

if __name__ == "__main__":
    main()
