"""`python -m vaekit` is `vae`."""

from vaekit.cli import main

if __name__ == "__main__":
    main()
