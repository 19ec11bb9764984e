"""A gateway and an operator at work for a fuzzer and its made-up requests: one namespace, always inhabited."""

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

from hopper.local import Cluster
from hopper.local.loopback_ports import free_ports
from tests.cluster.support.operator_process import HOPPER, START_SECONDS, STOP_SECONDS
from tests.cluster.support.prometheus import PrometheusSamples

HANG_SECONDS = 10.0
# Who is always there again soon, whatever is done to them; parents come first.
PEOPLE: dict[str, dict[str, Any]] = {
    "global": {"scope": "Global"},
    "web": {"scope": "Project", "parentRef": {"name": "global"}},
    "web-a": {"scope": "Orchestration", "parentRef": {"name": "web"}, "templateRef": {"name": "shop"}},
    "web-b": {"scope": "Orchestration", "parentRef": {"name": "web"}, "templateRef": {"name": "shop"}},
    "home": {"scope": "Family"},
    "home-a": {"scope": "Orchestration", "parentRef": {"name": "home"}},
}
_STANDING_IN = {
    "id": ("web", "web-a", "web-b", "home", "home-a", "global", "nobody"),
    "project_id": ("web", "home"),
    "instance": ("a", "b", "web-a", "nobody"),
    "name": ("web", "web", "shop", "home"),
    "parent_id": ("web", "home", "global", "nobody"),
    "template": ("shop", "nothing"),
    "template_service_id": ("shop", "shop", "nothing"),
}
# With more, everything is thrown away and begins anew: it is the requests that are tested here.
_MOST_INSTANCES = 60
_REQUESTS_BETWEEN = 100
_WAIT_SECONDS = 0.2


class FuzzTarget:
    """Where the fuzzer's requests go. Counts them, and knows the slowest."""

    def __init__(self, cluster: Cluster, namespace: str, gateway: str, operator: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._gateway, self._operator = gateway, operator
        self._session = requests.Session()
        self._since_settling = _REQUESTS_BETWEEN
        self.slowest = (0.0, "")

    def send(self, case: Case) -> Response:
        """Send a request, about those who are there rather than about nobody."""
        self._since_settling += 1
        if self._since_settling > _REQUESTS_BETWEEN:
            self._settle()
        _aim(case)
        started = time.perf_counter()
        answer = case.call(base_url=self._gateway, session=self._session, timeout=HANG_SECONDS)
        self.slowest = max(self.slowest, (time.perf_counter() - started, f"{case.method} {case.formatted_path}"))
        return answer

    def counted(self) -> dict[str, int]:
        """Return the number of answers by code, as the gateway counts them itself, and their sum."""
        numbers = PrometheusSamples(self._read(f"{self._gateway}/metrics"), "hopper_gateway_requests")
        by_code: Counter[str] = Counter()
        for (route, code), count in numbers.by("hopper_gateway_requests_total", "route", "code").items():
            if route != "/readyz":  # which is asked before it can serve
                by_code[code] += count
        return {"all": by_code.total(), **dict(sorted(by_code.items()))}

    def illegal_transitions(self) -> float:
        """Return how many steps the operator has refused to take: a bug of its own, each one."""
        numbers = PrometheusSamples(self._read(f"{self._operator}/metrics"), "hopper_illegal_transitions")
        return numbers.total("hopper_illegal_transitions_total")

    def _read(self, url: str) -> str:
        return self._session.get(url, timeout=HANG_SECONDS).text

    def _settle(self) -> None:
        """Have everybody there and alive."""
        self._since_settling = 0
        page = self._session.get(f"{self._gateway}/api/v1/instances?limit=1000", timeout=HANG_SECONDS).json()
        found = {it["id"]: it for it in page["items"]}
        over = [name for name in PEOPLE if name in found and found[name]["desired_state"] in ("archived", "terminated")]
        if len(found) > _MOST_INSTANCES:
            over = ["--all"]
        if over:
            self._kubectl("delete", "hopperinstances", *over, "--wait=true", "--timeout=60s")
        manifests: list[dict[str, Any]] = [
            {"kind": "HopperTemplate", "metadata": {"name": "shop"}, "spec": {"image": "shop:1"}},
            *({"kind": "HopperInstance", "metadata": {"name": name}, "spec": it} for name, it in PEOPLE.items()),
        ]
        whole = {
            "kind": "List",
            "apiVersion": "v1",
            "items": [{"apiVersion": "hopper.dev/v1"} | it for it in manifests],
        }
        self._kubectl(
            *("apply", "--server-side", "--force-conflicts", "--field-manager=fuzz", "--filename=-"),
            input=json.dumps(whole),
        )

    def _kubectl(self, *args: str, input: str | None = None) -> None:  # noqa: A002
        # What has been changed may stand in the way of its own definition, a changed parent say; it is all the same.
        self._cluster.kubectl("--namespace", self._namespace, *args, input=input, check=False)


def _aim(case: Case) -> None:
    """Have a request be about somebody who exists, and wait for a moment at most."""
    meta = case.meta
    if meta is None or not meta.is_negative_at(ParameterLocation.PATH):
        for key, value in (case.path_parameters or {}).items():
            case.path_parameters[key] = _stand_in(key, value)
    query = case.query or {}
    if query.get("namespace") and (meta is None or not meta.is_negative_at(ParameterLocation.QUERY)):
        del query["namespace"]  # it is never the one that is served
    if str(query.get("wait")).lower() in ("true", "1", "yes", "on") and _is_long(query.get("timeout", 30)):
        query["timeout"] = _WAIT_SECONDS
    if isinstance(case.body, dict) and (meta is None or not meta.is_negative_at(ParameterLocation.BODY)):
        for key in case.body.keys() & _STANDING_IN.keys() - {"id", "name"}:
            case.body[key] = _stand_in(key, case.body[key])


def _stand_in(key: str, value: Any) -> Any:
    names = _STANDING_IN.get(key)
    chance = zlib.crc32(str(value).encode(errors="replace"))
    return names[chance % len(names)] if names and value is not None and chance % 5 else value


def _is_long(timeout: Any) -> bool:
    try:
        return _WAIT_SECONDS < float(timeout) <= 300
    except (TypeError, ValueError):
        return False


@contextmanager
def inhabited(cluster: Cluster, namespace: str, logs: Path) -> Iterator[FuzzTarget]:
    """Run a gateway and an operator until the end of the context, where both must still run."""
    gateway, operator = free_ports(2)
    verbs = {
        gateway: ("gateway", "run", "--auth", "none", "--port", str(gateway)),
        operator: ("operator", "run", "--metrics-port", str(operator)),
    }
    with ExitStack() as stack:
        runs = [
            stack.enter_context(_started(cluster, namespace, logs / f"{verb[0]}.log", verb)) for verb in verbs.values()
        ]
        for port in verbs:
            _until_ready(f"http://127.0.0.1:{port}/readyz")
        yield FuzzTarget(cluster, namespace, f"http://127.0.0.1:{gateway}", f"http://127.0.0.1:{operator}")
        assert [run.poll() for run in runs] == [None, None], "one of them has ended"


@contextmanager
def _started(cluster: Cluster, namespace: str, log: Path, verb: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
    with log.open("ab") as output:
        run = subprocess.Popen([HOPPER, *verb, "--namespace", namespace], stdout=output, stderr=output, env=environment)
    try:
        yield run
    finally:
        run.terminate()
        try:
            run.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()


def _until_ready(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if requests.get(url, timeout=HANG_SECONDS).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        assert time.monotonic() < deadline, f"{url} does not answer"
        time.sleep(0.1)
