"""Hopper installed as its users install it, on a cluster with real containers; what happened, where a test fails."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from hopper.local.errors import ProviderError
from hopper.local.progress import Plain
from tests.e2e.hopper import CLIENT, CLIENTS, RELEASE, SYSTEM, Space, System
from tests.e2e.site import ROOT, Site, current_site, kind_site

# These change the release that the others work with.
LAST = ("test_upgrade.py", "test_uninstall.py")
ALLOWED = "clerk"
SPACES = pytest.StashKey[list[Space]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hopper")
    group.addoption("--provider", choices=("kind", "current"), default="kind", help="Which cluster to test on.")
    group.addoption("--image", help="Hopper's image, where the provider is `current`.")
    group.addoption("--image-before", help="The same of an older version, to upgrade from.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those last that the others would not survive."""
    items.sort(key=lambda item: LAST.index(item.path.name) if item.path.name in LAST else -1)


@pytest.fixture(scope="session")
def site(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The cluster and the images. What is missing for that is a reason to skip, but not where all is required."""
    # Whoever ends the run wants the cluster gone, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if pytestconfig.getoption("--provider") == "current":
        image = pytestconfig.getoption("--image") or pytest.fail("--provider current takes an --image")
        with current_site(image, pytestconfig.getoption("--image-before")) as site:
            yield site
        return
    # The first time takes long: what happens meanwhile is shown, not captured.
    shown = pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled
    with contextlib.ExitStack() as stack:
        try:
            with shown():
                sys.stderr.write("\n")
                site = stack.enter_context(kind_site(Plain(sys.stderr), tmp_path_factory.mktemp("before")))
        except ProviderError as error:
            if os.environ.get("HOPPER_REQUIRE_ALL"):
                raise
            pytest.skip(str(error))
        yield site


@pytest.fixture(scope="session")
def system(site: Site) -> Iterator[System]:
    """This version, installed by its chart; and two pods to ask from, of which one may do as `edit` may."""
    system = System(site)
    try:
        _clients(system)
        system.install(site.version)
        yield system
    finally:
        _remove_everything(system)


@pytest.fixture
def space(system: System, request: pytest.FixtureRequest) -> Iterator[Space]:
    """A fresh namespace, where nothing is admitted that could harm its neighbours."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    system.cluster.kubectl("create", "namespace", name)
    system.cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    found = Space(system, name)
    request.node.stash[SPACES] = [found]
    yield found
    # Its end is not waited for: it goes on beside the next test.
    system.cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show what the cluster says when a test fails."""
    report: Any = yield
    if call.when == "call" and report.failed:
        for space in item.stash.get(SPACES, []):
            report.sections.append((f"namespace {space.name}", _story(space)))
    return report  # type: ignore[return-value]


def _story(space: Space) -> str:
    asked = (
        ("get", "hopperinstances,deployments,pods,services,persistentvolumeclaims", "--output=wide"),
        ("get", "hopperinstances", "--output=jsonpath={range .items[*]}{.metadata.name}: {.status}{'\\n'}{end}"),
        ("get", "events", "--sort-by=.lastTimestamp"),
        ("describe", "pods"),
        ("get", "pods", f"--namespace={SYSTEM}", "--output=wide"),
        ("logs", f"--namespace={SYSTEM}", "--selector=app.kubernetes.io/component=operator", "--tail=60", "--prefix"),
        ("logs", f"--namespace={SYSTEM}", "--selector=app.kubernetes.io/component=gateway", "--tail=20", "--prefix"),
    )
    return "\n".join(f"$ kubectl {' '.join(args)}\n{space.kubectl(*args, check=False)}" for args in asked)


def _clients(system: System) -> None:
    """Pods that ask: one of nobody in particular, one whose account may do as `edit` may."""
    kubectl = system.cluster.kubectl
    kubectl("create", "namespace", CLIENTS)
    kubectl("create", "namespace", SYSTEM)
    kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=restricted")
    for name in (CLIENT, ALLOWED):
        kubectl("create", "serviceaccount", name, f"--namespace={CLIENTS}")
        overrides = {
            "spec": {
                "serviceAccountName": name,
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": name,
                        "image": system.site.version.image,
                        "command": ["python", "-c", "import threading; threading.Event().wait()"],
                    }
                ],
            }
        }
        image = f"--image={system.site.version.image}"
        kubectl("run", name, image, f"--namespace={CLIENTS}", f"--overrides={json.dumps(overrides)}")
    kubectl("wait", "pods", "--all", "--for=condition=Ready", "--timeout=120s", f"--namespace={CLIENTS}")


def _remove_everything(system: System) -> None:
    """Clusters that stay are left as they were; of the definitions, helm leaves those that hold the instances."""
    if system.cluster.provider == "current":
        system.helm("uninstall", RELEASE, "--ignore-not-found", "--wait", "--timeout=3m")
        system.cluster.kubectl("delete", "namespace", CLIENTS, SYSTEM, "--ignore-not-found", "--wait=false")
        for file in sorted((ROOT / "crds").glob("*.yaml")):
            system.cluster.kubectl("delete", "--ignore-not-found", "--timeout=60s", f"--filename={file}")
