"""Target for the fuzzer: a gateway and an operator in one namespace with instances that are recreated regularly."""

from __future__ import annotations

import json
import os
import subprocess
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests
from schemathesis import Case, Response
from schemathesis.core.parameters import ParameterLocation

from hopper.api.resources import Manifest
from hopper.local import Cluster
from hopper.local.loopback_ports import free_ports
from tests.cluster.support.operator_process import HOPPER, START_SECONDS, STOP_SECONDS
from tests.cluster.support.prometheus import PrometheusSamples

HANG_SECONDS = 10.0
# Specs of the instances that are restored regularly, whatever the requests did to them. Parents come first.
INSTANCE_SPECS: dict[str, Manifest] = {
    "global": {"scope": "Global"},
    "web": {"scope": "Project", "parentRef": {"name": "global"}},
    "web-a": {"scope": "Orchestration", "parentRef": {"name": "web"}, "templateRef": {"name": "shop"}},
    "web-b": {"scope": "Orchestration", "parentRef": {"name": "web"}, "templateRef": {"name": "shop"}},
    "home": {"scope": "Family"},
    "home-a": {"scope": "Orchestration", "parentRef": {"name": "home"}},
}
# Names that replace most generated values of a parameter or field, because a generated name matches no object.
# Some of these are missing on purpose.
_KNOWN_NAMES = {
    "id": ("web", "web-a", "web-b", "home", "home-a", "global", "missing"),
    "project_id": ("web", "home"),
    "instance": ("a", "b", "web-a", "missing"),
    "name": ("web", "web", "shop", "home"),
    "parent_id": ("web", "home", "global", "missing"),
    "template": ("shop", "missing"),
    "template_service_id": ("shop", "shop", "missing"),
}
# With more instances, all are deleted and recreated: requests are tested here, not large numbers of instances.
_MAX_INSTANCES = 60
_REQUESTS_BETWEEN_RESTORES = 100
_WAIT_SECONDS = 0.2


class FuzzTarget:
    """Gateway that the fuzzer sends requests to, with the duration of the slowest request."""

    def __init__(self, cluster: Cluster, namespace: str, gateway: str, operator: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._gateway, self._operator = gateway, operator
        self._session = requests.Session()
        self._since_restore = _REQUESTS_BETWEEN_RESTORES
        self.slowest = (0.0, "")

    def send(self, case: Case) -> Response:
        """Send a request, mostly about instances that exist."""
        self._since_restore += 1
        if self._since_restore > _REQUESTS_BETWEEN_RESTORES:
            self._restore_instances()
        _aim_at_known_names(case)
        started = time.perf_counter()
        response = case.call(base_url=self._gateway, session=self._session, timeout=HANG_SECONDS)
        self.slowest = max(self.slowest, (time.perf_counter() - started, f"{case.method} {case.formatted_path}"))
        return response

    def response_counts(self) -> dict[str, int]:
        """Return the number of responses by status code, and in all, from the gateway's own metrics."""
        samples = PrometheusSamples(self._read(f"{self._gateway}/metrics"), "hopper_gateway_requests")
        by_code: Counter[str] = Counter()
        for (route, code), count in samples.totals_by("hopper_gateway_requests_total", "route", "code").items():
            if route != "/readyz":  # responds with 503 while the gateway starts
                by_code[code] += count
        return {"all": by_code.total(), **dict(sorted(by_code.items()))}

    def illegal_transitions(self) -> float:
        """Return the number of illegal transitions that the operator rejected; each one is a bug of the operator."""
        samples = PrometheusSamples(self._read(f"{self._operator}/metrics"), "hopper_illegal_transitions")
        return samples.total("hopper_illegal_transitions_total")

    def _read(self, url: str) -> str:
        return self._session.get(url, timeout=HANG_SECONDS).text

    def _restore_instances(self) -> None:
        """Recreate the instances and the template that the requests refer to."""
        self._since_restore = 0
        page = self._session.get(f"{self._gateway}/api/v1/instances?limit=1000", timeout=HANG_SECONDS).json()
        states = {view["id"]: view["desired_state"] for view in page["items"]}
        finished = [name for name in INSTANCE_SPECS if states.get(name) in ("archived", "terminated")]
        if len(states) > _MAX_INSTANCES:
            finished = ["--all"]
        if finished:
            self._kubectl("delete", "hopperinstances", *finished, "--wait=true", "--timeout=60s")
        manifests: list[Manifest] = [
            {"kind": "HopperTemplate", "metadata": {"name": "shop"}, "spec": {"image": "shop:1"}},
            *(
                {"kind": "HopperInstance", "metadata": {"name": name}, "spec": spec}
                for name, spec in INSTANCE_SPECS.items()
            ),
        ]
        manifest_list = {
            "kind": "List",
            "apiVersion": "v1",
            "items": [{"apiVersion": "hopper.dev/v1"} | manifest for manifest in manifests],
        }
        self._kubectl(
            *("apply", "--server-side", "--force-conflicts", "--field-manager=fuzz", "--filename=-"),
            input=json.dumps(manifest_list),
        )

    def _kubectl(self, *args: str, input: str | None = None) -> None:  # noqa: A002
        # A failure does not matter: an immutable field that a request has set, for example, makes the apply fail.
        self._cluster.kubectl("--namespace", self._namespace, *args, input=input, check=False)


def _aim_at_known_names(case: Case) -> None:
    """Replace generated names by names of existing objects, and limit how long the gateway waits."""
    meta = case.meta
    if meta is None or not meta.is_negative_at(ParameterLocation.PATH):
        for key, value in (case.path_parameters or {}).items():
            case.path_parameters[key] = _known_name(key, value)
    query = case.query or {}
    if query.get("namespace") and (meta is None or not meta.is_negative_at(ParameterLocation.QUERY)):
        del query["namespace"]  # a generated name is never the namespace that the gateway serves
    if str(query.get("wait")).lower() in ("true", "1", "yes", "on") and _is_long(query.get("timeout", 30)):
        query["timeout"] = _WAIT_SECONDS
    if isinstance(case.body, dict) and (meta is None or not meta.is_negative_at(ParameterLocation.BODY)):
        for key in case.body.keys() & _KNOWN_NAMES.keys() - {"id", "name"}:
            case.body[key] = _known_name(key, case.body[key])


def _known_name(key: str, value: Any) -> Any:
    """Return a known name for four in five values, chosen by the value itself so that a run can be repeated."""
    names = _KNOWN_NAMES.get(key)
    choice = zlib.crc32(str(value).encode(errors="replace"))
    return names[choice % len(names)] if names and value is not None and choice % 5 else value


def _is_long(timeout: Any) -> bool:
    try:
        return _WAIT_SECONDS < float(timeout) <= 300
    except (TypeError, ValueError):
        return False


@contextmanager
def running_fuzz_target(cluster: Cluster, namespace: str, logs: Path) -> Iterator[FuzzTarget]:
    """Run a gateway and an operator until the end of the context, and check that both still run then."""
    gateway, operator = free_ports(2)
    commands = {
        gateway: ("gateway", "run", "--auth", "none", "--port", str(gateway)),
        operator: ("operator", "run", "--metrics-port", str(operator)),
    }
    with ExitStack() as stack:
        processes = [
            stack.enter_context(_running_process(cluster, namespace, logs / f"{command[0]}.log", command))
            for command in commands.values()
        ]
        for port in commands:
            _until_ready(f"http://127.0.0.1:{port}/readyz")
        yield FuzzTarget(cluster, namespace, f"http://127.0.0.1:{gateway}", f"http://127.0.0.1:{operator}")
        assert [process.poll() for process in processes] == [None, None], "the gateway or the operator has ended"


@contextmanager
def _running_process(
    cluster: Cluster, namespace: str, log: Path, command: tuple[str, ...]
) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
    arguments = [HOPPER, *command, "--namespace", namespace]
    with log.open("ab") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if requests.get(url, timeout=HANG_SECONDS).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        assert time.monotonic() < deadline, f"{url} does not respond with 200"
        time.sleep(0.1)
