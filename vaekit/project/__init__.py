"""A project folder that `vae init` and `vae demo` write: a config, sample data, a compose file and a README."""

from vaekit.project.files import Project, own_data, sample, write

__all__ = ["Project", "own_data", "sample", "write"]
