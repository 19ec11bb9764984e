"""Fixtures of the end-to-end tests: Hopper installed from its chart on a cluster with real containers."""

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
from hopper.local.progress import PlainProgress
from tests.e2e.release import (
    CLIENT_NAMESPACE,
    RELEASE,
    RELEASE_NAMESPACE,
    UNPRIVILEGED_CLIENT,
    InstanceNamespace,
    Release,
)
from tests.e2e.site import ROOT, Site, current_site, kind_site

# These tests change the release that the others need, so they run last.
LAST_FILES = ("test_upgrade.py", "test_uninstall.py")
# The ServiceAccount that has the rights of the role `edit`.
EDITOR_CLIENT = "clerk"
NAMESPACES = pytest.StashKey[list[InstanceNamespace]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hopper")
    group.addoption("--provider", choices=("kind", "current"), default="kind", help="Cluster to test on.")
    group.addoption("--image", help="Image of Hopper, for --provider current.")
    group.addoption("--image-before", help="Image of an older version to upgrade from, for --provider current.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests in LAST_FILES after all others."""
    items.sort(key=lambda item: LAST_FILES.index(item.path.name) if item.path.name in LAST_FILES else -1)


@pytest.fixture(scope="session")
def site(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The cluster and the images. Without a container engine, skip the tests unless HOPPER_REQUIRE_ALL is set."""
    # SIGTERM must remove the cluster as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if pytestconfig.getoption("--provider") == "current":
        image = pytestconfig.getoption("--image") or pytest.fail("--provider current needs --image")
        with current_site(image, pytestconfig.getoption("--image-before")) as site:
            yield site
        return
    # The first run takes minutes, so its progress is shown.
    uncaptured = pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled
    with contextlib.ExitStack() as stack:
        try:
            with uncaptured():
                sys.stderr.write("\n")
                site = stack.enter_context(kind_site(PlainProgress(sys.stderr), tmp_path_factory.mktemp("previous")))
        except ProviderError as error:
            if os.environ.get("HOPPER_REQUIRE_ALL"):
                raise
            pytest.skip(str(error))
        yield site


@pytest.fixture(scope="session")
def release(site: Site) -> Iterator[Release]:
    """The release of the current version, and the client pods."""
    release = Release(site)
    try:
        _create_clients(release)
        release.install(site.version)
        yield release
    finally:
        _uninstall(release)


@pytest.fixture
def namespace(release: Release, request: pytest.FixtureRequest) -> Iterator[InstanceNamespace]:
    """A new namespace that enforces the Pod Security Standard `restricted`."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    release.cluster.kubectl("create", "namespace", name)
    release.cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    created = InstanceNamespace(release, name)
    request.node.stash[NAMESPACES] = [created]
    yield created
    # The deletion continues during the next test.
    release.cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add the objects, events and logs of the namespace to the report of a failed test."""
    report: Any = yield
    if call.when == "call" and report.failed:
        for namespace in item.stash.get(NAMESPACES, []):
            report.sections.append((f"namespace {namespace.name}", _diagnostics(namespace)))
    return report  # type: ignore[return-value]


def _diagnostics(namespace: InstanceNamespace) -> str:
    release = f"--namespace={RELEASE_NAMESPACE}"
    commands = (
        ("get", "hopperinstances,deployments,pods,services,persistentvolumeclaims", "--output=wide"),
        ("get", "hopperinstances", "--output=jsonpath={range .items[*]}{.metadata.name}: {.status}{'\\n'}{end}"),
        ("get", "events", "--sort-by=.lastTimestamp"),
        ("describe", "pods"),
        ("get", "pods", release, "--output=wide"),
        ("logs", release, "--selector=app.kubernetes.io/component=operator", "--tail=60", "--prefix"),
        ("logs", release, "--selector=app.kubernetes.io/component=gateway", "--tail=20", "--prefix"),
    )
    return "\n".join(f"$ kubectl {' '.join(args)}\n{namespace.kubectl(*args, check=False)}" for args in commands)


def _create_clients(release: Release) -> None:
    """Create the client pods: one without rights, and one that tests grant the rights of the role `edit`."""
    kubectl = release.cluster.kubectl
    kubectl("create", "namespace", CLIENT_NAMESPACE)
    kubectl("create", "namespace", RELEASE_NAMESPACE)
    kubectl("label", "namespace", RELEASE_NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    for name in (UNPRIVILEGED_CLIENT, EDITOR_CLIENT):
        kubectl("create", "serviceaccount", name, f"--namespace={CLIENT_NAMESPACE}")
        overrides = {
            "spec": {
                "serviceAccountName": name,
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": name,
                        "image": release.site.version.image,
                        "command": ["python", "-c", "import threading; threading.Event().wait()"],
                    }
                ],
            }
        }
        image = f"--image={release.site.version.image}"
        kubectl("run", name, image, f"--namespace={CLIENT_NAMESPACE}", f"--overrides={json.dumps(overrides)}")
    kubectl("wait", "pods", "--all", "--for=condition=Ready", "--timeout=120s", f"--namespace={CLIENT_NAMESPACE}")


def _uninstall(release: Release) -> None:
    """Remove Hopper from a cluster that outlives the tests. helm keeps the CRDs, so they are deleted explicitly."""
    if release.cluster.provider == "current":
        release.helm("uninstall", RELEASE, "--ignore-not-found", "--wait", "--timeout=3m")
        release.cluster.kubectl(
            "delete", "namespace", CLIENT_NAMESPACE, RELEASE_NAMESPACE, "--ignore-not-found", "--wait=false"
        )
        for file in sorted((ROOT / "crds").glob("*.yaml")):
            release.cluster.kubectl("delete", "--ignore-not-found", "--timeout=60s", f"--filename={file}")
