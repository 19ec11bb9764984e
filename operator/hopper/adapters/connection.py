"""Where the API server is and how to authenticate: the pod's own service account, or a kubeconfig."""

import os
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, list_kube_config_contexts, load_incluster_config, load_kube_config
from yaml import YAMLError

from hopper.adapters.certificates import hold_in_memory
from hopper.adapters.kube import Kube
from hopper.ports import ApiError

# What loading a kubeconfig may end in: the library does not look at what is in one before it takes it apart.
_UNREADABLE = (ConfigException, OSError, YAMLError, AttributeError, KeyError, TypeError, ValueError)
_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class NoClusterError(Exception):
    """No cluster is configured, or it does not let us in."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What another HTTP client needs to talk to the same API server as the same user."""

    server: str
    ca_path: str | None
    insecure: bool
    certificate_path: str | None
    private_key_path: str | None
    token: str | None
    proxy: str | None


@dataclass(frozen=True, slots=True)
class Connection:
    """One API server, and the namespace that commands without one mean."""

    configuration: Configuration
    namespace: str

    def client(self, *, unlimited: bool = False) -> ApiClient:
        """Return a client with a connection pool of its own; close it after use.

        A pool holds 100 connections, unless it is `unlimited`. Each watch occupies one.
        """
        configuration = self.configuration
        if unlimited:
            configuration = copy(configuration)
            configuration.connection_pool_maxsize = 0
        return ApiClient(configuration)

    async def credentials(self) -> Credentials:
        """Return the credentials as they are now; tokens are read anew."""
        header = await self.configuration.get_api_key_with_prefix("BearerToken", "authorization")
        return Credentials(
            server=self.configuration.host,
            ca_path=self.configuration.ssl_ca_cert,
            insecure=not self.configuration.verify_ssl,
            certificate_path=self.configuration.cert_file,
            private_key_path=self.configuration.key_file,
            token=header.split()[-1] if header else None,
            proxy=self.configuration.proxy,
        )


def _pod_namespace() -> str:
    return _SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip()


async def connect() -> Connection:
    """Find the cluster: inside a pod its own, else the current context of KUBECONFIG or `~/.kube/config`.

    In a pod the address comes from the environment, not from DNS, which may not be up yet.
    Raises `NoClusterError` where there is neither.
    """
    # aiohttp's `trust_env` looks up proxies and netrc in a thread at every request: a third of its cost.
    configuration = Configuration(client_session_kwargs={"trust_env": False})
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
            load_incluster_config(client_configuration=configuration)
            namespace = _pod_namespace()
        else:
            named = os.environ.get("KUBECONFIG") or None  # the library looks only once, when it is imported
            await load_kube_config(named, client_configuration=configuration)
            hold_in_memory(configuration)
            _, active = list_kube_config_contexts(named)
            namespace = active["context"].get("namespace") or "default"
    except _UNREADABLE as error:
        where = os.environ.get("KUBECONFIG") or "~/.kube/config"
        message = f"no cluster in {where} ({error}). Set KUBECONFIG, or start one with: hopper local up"
        raise NoClusterError(message) from error
    configuration.proxy = configuration.proxy or _proxy(configuration.host)
    return Connection(configuration, namespace)


async def check_credentials(connection: Connection) -> None:
    """Ask the API server who we are to it. Raises `NoClusterError` where it does not accept the credentials.

    An API server that is away, or has other worries, is no reason to give up.
    """
    codes: list[int] = []
    kube = Kube(connection.client(), lambda verb, resource, code: codes.append(code))
    try:
        await kube.request("GET", "/version", resource="version")
    except ApiError as error:
        if codes == [401]:
            server = connection.configuration.host
            message = f"{server} does not accept the credentials ({error}). Renew those in KUBECONFIG"
            raise NoClusterError(message) from error
    finally:
        await kube.close()


def _proxy(address: str) -> str | None:
    """Return what HTTPS_PROXY and NO_PROXY say about an address."""
    url = urlsplit(address)
    return None if proxy_bypass(url.hostname or "") else getproxies().get(url.scheme)
