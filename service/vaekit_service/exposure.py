"""Decides whether the service may listen on an address with its settings, and which hosts requests may name there."""

from __future__ import annotations

from ipaddress import ip_address

from vaekit.errors import ConfigError
from vaekit_service.platform_settings import check_end
from vaekit_service.settings import Settings

# A web page whose name is made to point to this machine is a request with another host.
LOOPBACK_NAMES = "localhost,127.0.0.1,[::1]"


def checked(settings: Settings, address: str) -> Settings:
    """The settings for an address.

    On loopback without keys, requests must name a loopback host unless `allowed_hosts` says otherwise: any web page
    that a user of this machine visits could otherwise read the replies (DNS rebinding).

    Args:
        settings: as they were given.
        address: the IP address that the service is about to listen on.

    Raises:
        ConfigError: other machines could use the service without a key, admin routes are on without what they need, or
            the service would not end in the time that its platform gives it.
    """
    if is_open(settings, address) and not (settings.allow_anonymous or settings.public_paths):
        raise ConfigError(
            f"{address} can be reached from other machines, and there are no keys: make one with `vae keys new NAME "
            "--file keys.toml` and set VAE_KEYS_FILE, or let everybody in with --allow-anonymous "
            "(VAE_ALLOW_ANONYMOUS=true)"
        )
    check_admin(settings)
    check_end(settings.platform, settings.drain_seconds, settings.shutdown_seconds)
    if settings.key_source is None and _is_loopback(address) and settings.allowed_hosts is None:
        return settings.model_copy(update={"allowed_hosts": LOOPBACK_NAMES})
    return settings


def check_admin(settings: Settings) -> None:
    """Check that admin routes, if they are on, have keys and write their audit lines.

    Raises:
        ConfigError: they have not, or do not.
    """
    if settings.admin and settings.key_source is None:
        raise ConfigError("VAE_ADMIN=true: admin routes need a key of scope admin; set VAE_KEYS_FILE or VAE_KEYS")
    if settings.admin and settings.log_level == "error":
        raise ConfigError("VAE_ADMIN=true: audit lines have the level warning; set VAE_LOG_LEVEL to it or lower")


def is_open(settings: Settings, address: str) -> bool:
    """Whether other machines may use the service at this address without a key."""
    return settings.key_source is None and not _is_loopback(address)


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback
