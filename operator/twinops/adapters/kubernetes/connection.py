"""How the API server is reached: address, TLS and credentials, from a kubeconfig or the pod's service account."""

from __future__ import annotations

import os
import time
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio import config as kube_config
from kubernetes.aio.client import Configuration
from yaml import YAMLError

from twinops.errors import SettingsError

_TOKEN_PERIOD_SECONDS: Final = 60.0

UNREADABLE: Final = (YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What the client library raises for a malformed kubeconfig: it does not validate the YAML that it reads."""


async def load_configuration(kubeconfig: str | None = None, *, context: str | None = None) -> Configuration:
    """Return the client library's configuration.

    Args:
        kubeconfig: path; None for the pod's service account when running in a pod, else the default kubeconfig.
        context: of the kubeconfig; None for its current one.

    Raises:
        SettingsError: no usable configuration was found.
    """
    configuration = Configuration()
    # Writes must not be retried by the library: a second apply could undo somebody's change.
    configuration.retries = None
    configuration.client_go_retries = False
    try:
        if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            kube_config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # ships no types
        else:
            await _read_kubeconfig(configuration, kubeconfig, context)
            _reload_tokens(configuration, kubeconfig, context)
    except (kube_config.ConfigException, OSError) as error:
        raise SettingsError(f"no way to reach a cluster: {error}") from error
    except UNREADABLE as error:
        raise SettingsError(f"no way to reach a cluster: the kubeconfig is none ({type(error).__name__})") from error
    _set_proxy(configuration)
    return configuration


async def _read_kubeconfig(configuration: Configuration, path: str | None, context: str | None) -> None:
    await kube_config.load_kube_config(  # type: ignore[no-untyped-call]  # ships no types
        config_file=path, context=context, client_configuration=configuration, persist_config=False
    )


def _reload_tokens(configuration: Configuration, path: str | None, context: str | None) -> None:
    """Read ``tokenFile`` and exec plugins again before they grow old."""
    if not configuration.api_key:
        return
    read_at = time.monotonic()

    async def reload(target: Configuration) -> None:
        # Clients over the same configuration share its keys, so whoever comes first reads for all.
        nonlocal read_at
        if time.monotonic() - read_at < _TOKEN_PERIOD_SECONDS:
            return
        read_at = time.monotonic()
        await _read_kubeconfig(target, path, context)

    configuration.refresh_api_key_hook = reload  # type: ignore[assignment]  # its type is read off its default


def _set_proxy(configuration: Configuration) -> None:
    """Take the proxy from the environment once, where the kubeconfig names none.

    With aiohttp's ``trust_env`` every request would look it up again, and a netrc file as well, in the default thread
    pool, which may be busy. Credentials come from the kubeconfig alone.
    """
    configuration.client_session_kwargs = {"trust_env": False}
    server = urlsplit(configuration.host)
    if not configuration.proxy and server.hostname and not proxy_bypass(server.netloc.rpartition("@")[2]):
        configuration.proxy = getproxies().get(server.scheme)
