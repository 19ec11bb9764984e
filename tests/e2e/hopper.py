"""Hopper as installed: the release, and the instances of one namespace with all that belongs to them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hopper.local import Cluster
from hopper.local.errors import KubectlError
from tests.e2e.site import Site, Version
from tests.packaging.helm import helm

RELEASE = "hopper"
SYSTEM = "hopper-system"
CLIENTS = "hopper-clients"
CLIENT = "stranger"
SERVER = (Path(__file__).parent / "server.py").read_text(encoding="utf-8")
Object = dict[str, Any]

# The machine may be busy with other things.
SOON = 90.0
LONG = 180.0


class System:
    """The release in the cluster."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.cluster: Cluster = site.cluster

    def install(self, version: Version) -> None:
        """Have this version installed and ready, whatever was there before."""
        values = {
            "image": version.values,
            "gateway": {"enabled": True, "podSecurityContext": _ANY_USER},
            "operator": {"podSecurityContext": _ANY_USER},
        }
        self.helm("upgrade", RELEASE, str(version.chart), "--install", "--wait", "--timeout=5m", values=values)

    def helm(self, *args: str, values: Mapping[str, Any] | None = None) -> str:
        """Run helm on the release's namespace."""
        return helm(*args, f"--namespace={SYSTEM}", values=values, kubeconfig=self.cluster.kubeconfig)

    def pods(self, component: str) -> list[Object]:
        """The pods of the operator or the gateway that are not about to go."""
        selector = f"--selector=app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
        found = json.loads(self.cluster.kubectl("get", "pods", f"--namespace={SYSTEM}", selector, "--output=json"))
        return [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]


class Space:
    """One namespace."""

    def __init__(self, system: System, name: str) -> None:
        self.system = system
        self.name = name

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Run kubectl in this namespace."""
        return self.system.cluster.kubectl(f"--namespace={self.name}", *args, input=input, check=check)

    # --- what is wanted

    def template(self, name: str = "web", **spec: Any) -> None:
        """A template of the test server, with changes."""
        basic: Object = {
            "image": self.system.site.version.image,
            "command": ["python", "/app/server.py"],
            "ports": [{"containerPort": 8080}],
            "configFiles": [{"path": "/app/server.py", "content": SERVER}],
            # The machine may be slow: nobody is to be ended for a late start.
            "healthcheck": {"test": ["CMD", "python", "-c", _HEALTHY], "intervalSeconds": 2, "startPeriodSeconds": 60},
        }
        self.apply("HopperTemplate", name, basic | spec)

    def instance(self, name: str, parent: str | None = None, template: str | None = "web", **spec: Any) -> None:
        """An instance: a Project, or an Orchestration where it has a parent."""
        found: Object = {"scope": "Orchestration" if parent else "Project"}
        if parent:
            found["parentRef"] = {"name": parent}
        if template:
            found["templateRef"] = {"name": template}
        self.apply("HopperInstance", name, found | spec)

    def apply(self, kind: str, name: str, spec: Object) -> None:
        body = {"apiVersion": "hopper.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", input=json.dumps(body))

    def patch(self, name: str, kind: str = "hopperinstance", **spec: Any) -> None:
        """Change fields of a spec; None removes one."""
        self.kubectl("patch", kind, name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    # --- what is there

    def get(self, name: str, kind: str = "hopperinstance") -> Object:
        """The object; empty where there is none."""
        found = self.kubectl("get", kind, name, "--output=json", "--ignore-not-found")
        return json.loads(found) if found else {}

    def status(self, name: str) -> Object:
        found: Object = self.get(name).get("status", {})
        return found

    def phase(self, name: str) -> str:
        """The phase, once it is about the present generation."""
        found = self.get(name)
        status = found.get("status", {})
        current = status.get("observedGeneration") == found.get("metadata", {}).get("generation")
        return str(status.get("phase")) if current else "not yet seen"

    def condition(self, name: str, type_: str) -> Object:
        conditions = self.status(name).get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == type_), {})

    def await_phase(self, phase: str, *names: str, seconds: float = LONG) -> None:
        for name in names:
            until(lambda name=name: self.phase(name), phase, f"{name} is {phase}", seconds)  # type: ignore[misc]

    def workload(self, name: str) -> str:
        """What the Deployment and the Service of an instance are called."""
        return str(self.status(name)["workloadName"])

    def pods(self, name: str) -> dict[str, Object]:
        """The pods of an instance, by uid."""
        found = json.loads(self.kubectl("get", "pods", "--output=json"))
        return {pod["metadata"]["uid"]: pod for pod in found["items"] if self._owner(pod) == name}

    def everybodys_pods(self) -> dict[str, int]:
        """All pods in the namespace by uid, and how often their containers were started again."""
        found = json.loads(self.kubectl("get", "pods", "--output=json"))
        return {
            pod["metadata"]["uid"]: sum(it["restartCount"] for it in pod["status"].get("containerStatuses", []))
            for pod in found["items"]
        }

    def endpoints(self, name: str) -> list[str]:
        """The addresses behind the Service."""
        selector = f"--selector=kubernetes.io/service-name={self.workload(name)}"
        slices = json.loads(self.kubectl("get", "endpointslices", selector, "--output=json"))["items"]
        found = (endpoint for it in slices for endpoint in it.get("endpoints") or [])
        return [address for it in found if it["conditions"].get("ready") for address in it["addresses"]]

    # --- what answers

    def ask(self, name: str, path: str = "/", port: int = 8080) -> Object:
        """What an instance answers through its Service, asked from inside the cluster; empty if nobody answers."""
        return self._json(f"http://{self.workload(name)}.{self.name}:{port}{path}")

    def ask_pod(self, name: str) -> Object:
        """What the only pod of an instance answers when asked directly."""
        (pod,) = self.pods(name).values()
        return self._json(f"http://{pod['status']['podIP']}:8080/")

    def await_answer(self, name: str, **expected: Any) -> Object:
        """Wait until an instance answers through its Service, with these values."""

        def answer() -> Object:
            seen.append(self.ask(name))
            return {key: seen[-1].get(key, "nothing") for key in expected}

        seen: list[Object] = []
        until(answer, expected, f"{name} answers with {expected}")
        return seen[-1]

    def _json(self, url: str) -> Object:
        status, body = request(self.system.cluster, url)
        return json.loads(body) if status == 200 else {}

    def _owner(self, pod: Object) -> str:
        return str(pod["metadata"].get("labels", {}).get("hopper.dev/instance", ""))


_ANY_USER = {"runAsUser": 1234567890}
_HEALTHY = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/', timeout=5)"


def request(
    cluster: Cluster, url: str, method: str = "GET", body: object = None, account: str = CLIENT, token: bool = False
) -> tuple[int, str]:
    """Send a request from a pod inside the cluster, with the pod's own token if wanted; 0 is no answer at all."""
    asked = json.dumps({"url": url, "method": method, "body": body, "token": token})
    told = cluster.kubectl("exec", account, f"--namespace={CLIENTS}", "--", "python", "-c", _REQUEST, asked)
    status, _, text = told.removesuffix("\n").partition("\n")
    return int(status), text


_REQUEST = """
import json, sys, urllib.error, urllib.request
asked = json.loads(sys.argv[1])
headers = {"Content-Type": "application/json"}
if asked["token"]:
    with open("/var/run/secrets/kubernetes.io/serviceaccount/token") as file:
        headers["Authorization"] = "Bearer " + file.read()
data = None if asked["body"] is None else json.dumps(asked["body"]).encode()
try:
    request = urllib.request.Request(asked["url"], data, headers, method=asked["method"])
    with urllib.request.urlopen(request, timeout=10) as answer:
        print(answer.status, answer.read().decode(), sep="\\n")
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode(), sep="\\n")
except OSError as error:
    print(0, error, sep="\\n")
"""


def until(look: Callable[[], Any], expected: Any, what: str, seconds: float = SOON) -> Any:
    """Wait until `look` sees what is expected, and return it; what kubectl refuses meanwhile counts as nothing."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            seen = look()
        except KubectlError as error:
            seen = error
        if seen == expected:
            return seen
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}; seen at last: {seen!r}"
        time.sleep(0.3)
