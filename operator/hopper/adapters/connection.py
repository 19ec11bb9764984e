"""Address of the API server and credentials for it, from the pod's service account or from a kubeconfig."""

import os
from copy import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import (
    ConfigException,
    kube_config,
    list_kube_config_contexts,
    load_incluster_config,
    load_kube_config,
)
from yaml import YAMLError

from hopper.adapters.kube import KubeClient
from hopper.ports import ApiError

# Every error that an invalid kubeconfig can cause, because the client library does not validate its structure.
_UNREADABLE = (ConfigException, OSError, YAMLError, AttributeError, KeyError, TypeError, ValueError)
SERVICE_ACCOUNT_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_DESCRIPTORS = Path("/proc/self/fd")


class NoClusterError(Exception):
    """Error for a missing cluster configuration, or for credentials that the API server rejects."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Address and credentials of an API server, for an HTTP client other than the Kubernetes client."""

    server: str
    ca_path: str | None
    insecure: bool
    certificate_path: str | None
    private_key_path: str | None
    token: str | None
    proxy: str | None


@dataclass(frozen=True, slots=True)
class Connection:
    """An API server and the default namespace for it."""

    configuration: Configuration
    namespace: str

    def client(self, *, unlimited: bool = False) -> ApiClient:
        """Return a client with its own connection pool. Close it after use.

        A pool holds 100 connections, unless it is `unlimited`. Each watch occupies one.
        """
        configuration = self.configuration
        if unlimited:
            configuration = copy(configuration)
            configuration.connection_pool_maxsize = 0
        return ApiClient(configuration)

    async def credentials(self) -> Credentials:
        """Return the current credentials. Tokens are read from their source again."""
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


async def connect() -> Connection:
    """Return the connection to the pod's cluster, or to the current context of KUBECONFIG or `~/.kube/config`.

    In a pod the address comes from environment variables, because DNS may not be ready yet.
    Raises `NoClusterError` if no cluster is configured.
    """
    # Without `trust_env`, because aiohttp then looks up proxies and netrc in a thread: a third of a request's cost.
    configuration = Configuration(client_session_kwargs={"trust_env": False})
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
            load_incluster_config(client_configuration=configuration)
            namespace = _pod_namespace()
        else:
            # Passed explicitly, because the library reads KUBECONFIG only once, when it is imported.
            config_file = os.environ.get("KUBECONFIG") or None
            await load_kube_config(config_file, client_configuration=configuration)
            _keep_credentials_in_memory(configuration)
            _, active = list_kube_config_contexts(config_file)
            namespace = active["context"].get("namespace") or "default"
    except _UNREADABLE as error:
        where = os.environ.get("KUBECONFIG") or "~/.kube/config"
        message = f"no cluster in {where} ({error}): set KUBECONFIG, or start a cluster with: hopper local up"
        raise NoClusterError(message) from error
    configuration.proxy = configuration.proxy or _proxy_for(configuration.host)
    return Connection(configuration, namespace)


async def check_credentials(connection: Connection) -> None:
    """Raise `NoClusterError` if the API server rejects the credentials.

    Other errors are ignored, because the API server may be temporarily unavailable.
    """
    codes: list[int] = []
    kube = KubeClient(connection.client(), lambda verb, resource, code: codes.append(code))
    try:
        await kube.request("GET", "/version", resource="version")
    except ApiError as error:
        if codes == [401]:
            server = connection.configuration.host
            message = f"{server} does not accept the credentials ({error}): renew the credentials in KUBECONFIG"
            raise NoClusterError(message) from error
    finally:
        await kube.close()


def _pod_namespace() -> str:
    return SERVICE_ACCOUNT_NAMESPACE_FILE.read_text(encoding="utf-8").strip()


def _proxy_for(address: str) -> str | None:
    """Return the proxy for an address according to HTTPS_PROXY and NO_PROXY."""
    url = urlsplit(address)
    return None if proxy_bypass(url.hostname or "") else getproxies().get(url.scheme)


def _keep_credentials_in_memory(configuration: Configuration) -> None:
    """Replace the temporary credential files of a loaded kubeconfig with files in memory.

    TLS needs files. The client library writes them to the directory for temporary files, where a killed process would
    leave them, including an administrator's private key.
    """
    if not hasattr(os, "memfd_create") or not _DESCRIPTORS.is_dir():
        return  # the library removes the files at exit, except when the process is killed
    temporary = set(kube_config._temp_files.values())
    for name in ("ssl_ca_cert", "cert_file", "key_file"):
        path = getattr(configuration, name)
        if path in temporary:
            setattr(configuration, name, _memory_file(Path(path).read_bytes()))
    kube_config._cleanup_temp_files()


@cache
def _memory_file(content: bytes) -> str:
    """Return the path of an anonymous file that exists until the process ends."""
    descriptor = os.memfd_create("hopper")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    return str(_DESCRIPTORS / str(descriptor))
