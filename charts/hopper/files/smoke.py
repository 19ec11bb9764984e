"""Program of `helm test`: it checks the health of the operator and the gateway, and runs an instance.

It uses only the standard library. Environment variables configure it: KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT,
SERVICE_ACCOUNT (directory with token and ca.crt), NAMESPACE, HEALTH (URLs that must return 200), NAME.
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

TIMEOUT_SECONDS = 60.0
_ACCOUNT = Path(os.environ.get("SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))


def call(method: str, path: str, body: object = None) -> dict[str, Any]:
    """Send a request to the API server and return the decoded response."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    address = f"[{host}]" if ":" in host else host
    token = (_ACCOUNT / "token").read_text(encoding="utf-8").strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"https://{address}:{port}{path}", data, headers, method=method)
    context = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=context) as response:
        decoded: dict[str, Any] = json.load(response)
        return decoded


def wait_until(is_met: Callable[[], bool], condition: str) -> None:
    """Wait for a condition. An error counts as not met."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    problem = "not met"
    while True:
        try:
            if is_met():
                print(f"ok: {condition}", flush=True)
                return
        except (OSError, KeyError, ValueError) as error:
            problem = str(error) or type(error).__name__
        if time.monotonic() > deadline:
            sys.exit(f"timed out after {TIMEOUT_SECONDS:.0f} s: {condition} ({problem})")
        time.sleep(0.5)


def is_healthy(url: str) -> bool:
    """Whether a URL returns 200. The certificate is not checked, because its issuer may be unknown here."""
    context = ssl._create_unverified_context()  # noqa: S323
    with urllib.request.urlopen(url, timeout=5, context=context) as response:
        return bool(response.status == 200)


def ready_phase(path: str) -> str:
    """Return the phase of an instance that is Ready, or an empty string."""
    status = call("GET", path)["status"]
    is_ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in status["conditions"])
    return str(status["phase"]) if is_ready else ""


def is_deleted(path: str) -> bool:
    """Whether an object does not exist."""
    try:
        call("GET", path)
    except urllib.error.HTTPError as error:
        return error.code == 404
    return False


def main() -> None:
    """Run the test. Exit with 1 and a message if a check fails."""
    for url in os.environ.get("HEALTH", "").split():
        wait_until(lambda url=url: is_healthy(url), f"{url} returns 200")
    name = os.environ.get("NAME", "hopper-test")
    instances = f"/apis/hopper.dev/v1/namespaces/{os.environ['NAMESPACE']}/hopperinstances"
    instance = f"{instances}/{name}"
    body = {"apiVersion": "hopper.dev/v1", "kind": "HopperInstance", "metadata": {"name": name}}
    if is_deleted(instance):
        call("POST", instances, {**body, "spec": {"scope": "Project", "reason": "helm test"}})
    try:
        wait_until(lambda: ready_phase(instance) == "Running", f"{name} is Running")
    finally:
        call("DELETE", instance)
    wait_until(lambda: is_deleted(instance), f"{name} is deleted")


if __name__ == "__main__":
    main()
