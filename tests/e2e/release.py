"""The Helm release of Hopper, and the instances of one namespace."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hopper.api.resources import Manifest
from hopper.local import Cluster
from hopper.local.errors import KubectlError
from tests.e2e.site import Site, Version
from tests.packaging.helm import helm

RELEASE = "hopper"
RELEASE_NAMESPACE = "hopper-system"
# The pods that send requests run here, one per ServiceAccount.
CLIENT_NAMESPACE = "hopper-clients"
UNPRIVILEGED_CLIENT = "stranger"
SERVER = (Path(__file__).parent / "server.py").read_text(encoding="utf-8")

# Generous, because the machine may be busy.
TIMEOUT = 90.0
LONG_TIMEOUT = 180.0


class Release:
    """The Helm release in the cluster."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.cluster: Cluster = site.cluster

    def install(self, version: Version) -> None:
        """Install or upgrade to this version, and wait until it is ready."""
        values = {
            "image": version.values,
            "gateway": {"enabled": True, "podSecurityContext": _ARBITRARY_USER},
            "operator": {"podSecurityContext": _ARBITRARY_USER},
        }
        self.helm("upgrade", RELEASE, str(version.chart), "--install", "--wait", "--timeout=5m", values=values)

    def helm(self, *args: str, values: Mapping[str, Any] | None = None) -> str:
        """Run helm in the namespace of the release."""
        return helm(*args, f"--namespace={RELEASE_NAMESPACE}", values=values, kubeconfig=self.cluster.kubeconfig)

    def pods(self, component: str) -> list[Manifest]:
        """Return the pods of the operator or the gateway, except those being deleted."""
        selector = f"--selector=app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
        output = self.cluster.kubectl("get", "pods", f"--namespace={RELEASE_NAMESPACE}", selector, "--output=json")
        return [pod for pod in json.loads(output)["items"] if "deletionTimestamp" not in pod["metadata"]]


class InstanceNamespace:
    """A namespace with instances."""

    def __init__(self, release: Release, name: str) -> None:
        self.release = release
        self.name = name

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Run kubectl in this namespace."""
        return self.release.cluster.kubectl(f"--namespace={self.name}", *args, input=input, check=check)

    # --- changes

    def template(self, name: str = "web", **spec: Any) -> None:
        """Apply a template of the test server. `spec` replaces fields."""
        default: Manifest = {
            "image": self.release.site.version.image,
            "command": ["python", "/app/server.py"],
            "ports": [{"containerPort": 8080}],
            "configFiles": [{"path": "/app/server.py", "content": SERVER}],
            # A slow start must not restart the container.
            "healthcheck": {"test": ["CMD", "python", "-c", _PROBE], "intervalSeconds": 2, "startPeriodSeconds": 60},
        }
        self.apply("HopperTemplate", name, default | spec)

    def instance(self, name: str, parent: str | None = None, template: str | None = "web", **spec: Any) -> None:
        """Apply an instance: a Project without `parent`, else an Orchestration."""
        default: Manifest = {"scope": "Orchestration" if parent else "Project"}
        if parent:
            default["parentRef"] = {"name": parent}
        if template:
            default["templateRef"] = {"name": template}
        self.apply("HopperInstance", name, default | spec)

    def apply(self, kind: str, name: str, spec: Manifest) -> None:
        """Apply an object of the API group hopper.dev."""
        body = {"apiVersion": "hopper.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", input=json.dumps(body))

    def patch(self, name: str, kind: str = "hopperinstance", **spec: Any) -> None:
        """Change fields of a spec. None removes a field."""
        self.kubectl("patch", kind, name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    # --- observed state

    def get(self, name: str, kind: str = "hopperinstance") -> Manifest:
        """Return the object, or an empty dict if it does not exist."""
        output = self.kubectl("get", kind, name, "--output=json", "--ignore-not-found")
        return json.loads(output) if output else {}

    def status(self, name: str) -> Manifest:
        """Return the status of an instance."""
        status: Manifest = self.get(name).get("status", {})
        return status

    def phase(self, name: str) -> str:
        """Return the phase once the status reflects the current generation."""
        instance = self.get(name)
        status = instance.get("status", {})
        is_current = status.get("observedGeneration") == instance.get("metadata", {}).get("generation")
        return str(status.get("phase")) if is_current else "not yet observed"

    def condition(self, name: str, type_: str) -> Manifest:
        """Return a condition of an instance, or an empty dict if it is missing."""
        conditions = self.status(name).get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == type_), {})

    def await_phase(self, phase: str, *names: str, seconds: float = LONG_TIMEOUT) -> None:
        """Wait until all instances have the phase."""
        for name in names:
            until(lambda name=name: self.phase(name), phase, f"{name} is {phase}", seconds)  # type: ignore[misc]

    def workload_name(self, name: str) -> str:
        """Return the name of the Deployment and the Service of an instance."""
        return str(self.status(name)["workloadName"])

    def pods(self, name: str) -> dict[str, Manifest]:
        """Return the pods of an instance by uid."""
        pods = json.loads(self.kubectl("get", "pods", "--output=json"))["items"]
        return {pod["metadata"]["uid"]: pod for pod in pods if self._instance_of(pod) == name}

    def restarts_by_pod(self) -> dict[str, int]:
        """Return the number of container restarts of every pod in the namespace by its uid."""
        pods = json.loads(self.kubectl("get", "pods", "--output=json"))["items"]
        return {
            pod["metadata"]["uid"]: sum(
                container["restartCount"] for container in pod["status"].get("containerStatuses", [])
            )
            for pod in pods
        }

    def endpoints(self, name: str) -> list[str]:
        """Return the ready addresses of the Service of an instance."""
        selector = f"--selector=kubernetes.io/service-name={self.workload_name(name)}"
        slices = json.loads(self.kubectl("get", "endpointslices", selector, "--output=json"))["items"]
        endpoints = (endpoint for slice_ in slices for endpoint in slice_.get("endpoints") or [])
        return [
            address
            for endpoint in endpoints
            if endpoint["conditions"].get("ready")
            for address in endpoint["addresses"]
        ]

    # --- requests to instances

    def request_service(self, name: str, path: str = "/", port: int = 8080) -> Manifest:
        """Return the answer of an instance through its Service, or an empty dict without an answer."""
        return self._request_json(f"http://{self.workload_name(name)}.{self.name}:{port}{path}")

    def request_pod(self, name: str) -> Manifest:
        """Return the answer of the only pod of an instance, requested directly."""
        (pod,) = self.pods(name).values()
        return self._request_json(f"http://{pod['status']['podIP']}:8080/")

    def await_answer(self, name: str, **expected: Any) -> Manifest:
        """Wait until an instance answers through its Service with the expected values, and return the answer."""
        answers: list[Manifest] = []

        def expected_part() -> Manifest:
            answers.append(self.request_service(name))
            return {key: answers[-1].get(key, "missing") for key in expected}

        until(expected_part, expected, f"{name} answers with {expected}")
        return answers[-1]

    def _request_json(self, url: str) -> Manifest:
        status, body = request(self.release.cluster, url)
        return json.loads(body) if status == 200 else {}

    def _instance_of(self, pod: Manifest) -> str:
        return str(pod["metadata"].get("labels", {}).get("hopper.dev/instance", ""))


_ARBITRARY_USER = {"runAsUser": 1234567890}
_PROBE = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/', timeout=5)"


def request(
    cluster: Cluster,
    url: str,
    method: str = "GET",
    body: object = None,
    account: str = UNPRIVILEGED_CLIENT,
    token: bool = False,
) -> tuple[int, str]:
    """Send a request from the pod of a ServiceAccount, with the pod's token if `token` is set.

    Return the status code and the body. The code is 0 if no server answered.
    """
    arguments = json.dumps({"url": url, "method": method, "body": body, "token": token})
    output = cluster.kubectl(
        "exec", account, f"--namespace={CLIENT_NAMESPACE}", "--", "python", "-c", _REQUEST, arguments
    )
    status, _, text = output.removesuffix("\n").partition("\n")
    return int(status), text


_REQUEST = """
import json, sys, urllib.error, urllib.request
arguments = json.loads(sys.argv[1])
headers = {"Content-Type": "application/json"}
if arguments["token"]:
    with open("/var/run/secrets/kubernetes.io/serviceaccount/token") as file:
        headers["Authorization"] = "Bearer " + file.read()
data = None if arguments["body"] is None else json.dumps(arguments["body"]).encode()
try:
    request = urllib.request.Request(arguments["url"], data, headers, method=arguments["method"])
    with urllib.request.urlopen(request, timeout=10) as answer:
        print(answer.status, answer.read().decode(), sep="\\n")
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode(), sep="\\n")
except OSError as error:
    print(0, error, sep="\\n")
"""


def until(observe: Callable[[], Any], expected: Any, condition: str, seconds: float = TIMEOUT) -> Any:
    """Wait until `observe` returns `expected`, and return it. Errors of kubectl are retried."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            observed = observe()
        except KubectlError as error:
            observed = error
        if observed == expected:
            return observed
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {condition}; last observed: {observed!r}"
        time.sleep(0.3)
