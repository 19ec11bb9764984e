"""Why the watch was given up, in one line that says what to do. kopf has many for it, with tracebacks."""

from collections.abc import Collection

import aiohttp
import kopf

from hopper.ports import FatalError


class WatchFailedError(FatalError):
    """The watch was given up; the message says why, and what to do."""


def failure_of(error: Exception, server: str, paths: Collection[str]) -> WatchFailedError:
    """Return what to raise when kopf gives up with an error, while these paths of the API are not answered."""
    status = getattr(error, "status", None)  # kopf does not publish the class of its errors
    what = _what(paths)
    if status == 401 or isinstance(error, kopf.LoginError):
        message = f"{server} does not accept the credentials any more: renew those in KUBECONFIG, or of the account"
    elif status == 403:
        do = "bind the rights that the chart and manifests/ hold"
        message = f"not allowed to list and watch {what}: {do} ({_first_line(error)})"
    elif status == 404:
        message = f"{server} does not serve {what}: install the CRDs, which are in crds/"
    elif isinstance(error, aiohttp.ClientError | TimeoutError | OSError):
        do = "see whether it runs, and whether the network leads there"
        message = f"cannot reach {server}: {do} ({_first_line(error)})"
    else:
        message = f"cannot list and watch {what}: {_first_line(error)}"
    return WatchFailedError(message)


def _what(paths: Collection[str]) -> str:
    """Say what paths such as /api/v1/namespaces/a/pods are about."""
    plurals = ", ".join(sorted({path.rpartition("/")[2] for path in paths}))
    parts = [path.split("/") for path in paths]
    namespaces = {it[it.index("namespaces") + 1] for it in parts if "namespaces" in it[:-1]}
    where = f" of namespace {', '.join(sorted(namespaces))}" if namespaces else ""
    return f"{plurals or 'what it has to'}{where}"


def _first_line(error: Exception) -> str:
    """Return what the API server, or the network, has to say; kopf's errors have a whole answer behind that."""
    said = error.args[0] if error.args else error
    return str(said).partition("\n")[0] or type(error).__name__
