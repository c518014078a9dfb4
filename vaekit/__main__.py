"""`python -m vaekit` is `vae`. Knows nothing else."""

from vaekit.cli import main

if __name__ == "__main__":
    main()
