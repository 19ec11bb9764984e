"""What `helm test` runs: the operator and the gateway are healthy, and an instance gets where it should.

Nothing but the standard library. The environment says where: KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT,
SERVICE_ACCOUNT (directory with token and ca.crt), NAMESPACE, HEALTH (URLs that have to answer 200), NAME.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

WITHIN_SECONDS = 60.0
_ACCOUNT = Path(os.environ.get("SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))


def call(method: str, path: str, body: object = None) -> dict[str, Any]:
    """Send a request to the API server."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    address = f"[{host}]" if ":" in host else host
    token = (_ACCOUNT / "token").read_text(encoding="utf-8").strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"https://{address}:{port}{path}", data, headers, method=method)
    context = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=context) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition; errors on the way count as no."""
    deadline = time.monotonic() + WITHIN_SECONDS
    problem = "no"
    while True:
        try:
            if holds():
                print(f"ok: {what}", flush=True)
                return
        except (OSError, KeyError, ValueError) as error:
            problem = str(error) or type(error).__name__
        if time.monotonic() > deadline:
            sys.exit(f"not within {WITHIN_SECONDS:.0f} s: {what} ({problem})")
        time.sleep(0.5)


def answers(url: str) -> bool:
    """Tell whether a URL is answered with 200."""
    with urllib.request.urlopen(url, timeout=5) as response:
        return bool(response.status == 200)


def phase(path: str) -> str:
    """Return the phase of an instance, once it is ready."""
    status = call("GET", path)["status"]
    ready = any(it["type"] == "Ready" and it["status"] == "True" for it in status["conditions"])
    return str(status["phase"]) if ready else ""


def gone(path: str) -> bool:
    """Tell whether an object is not there any more."""
    try:
        call("GET", path)
    except urllib.error.HTTPError as error:
        return error.code == 404
    return False


def main() -> None:
    """Run the test; exit with 1 and say what is wrong."""
    for url in os.environ.get("HEALTH", "").split():
        until(lambda url=url: answers(url), f"{url} answers")
    name = os.environ.get("NAME", "hopper-test")
    instances = f"/apis/hopper.dev/v1/namespaces/{os.environ['NAMESPACE']}/hopperinstances"
    instance = f"{instances}/{name}"
    body = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "metadata": {"name": name}}
    if gone(instance):
        call("POST", instances, {**body, "spec": {"scope": "Project", "reason": "helm test"}})
    try:
        until(lambda: phase(instance) == "Running", f"{name} is Running")
    finally:
        call("DELETE", instance)
    until(lambda: gone(instance), f"{name} is gone")


if __name__ == "__main__":
    main()
