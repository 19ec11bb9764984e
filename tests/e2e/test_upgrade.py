"""An upgrade of Hopper keeps the pods of instances running."""

from __future__ import annotations

import pytest

from tests.e2e.release import InstanceNamespace


def test_no_instance_is_restarted_by_an_upgrade(namespace: InstanceNamespace) -> None:
    release, version, previous = namespace.release, namespace.release.site.version, namespace.release.site.previous
    if previous is None:
        pytest.skip("there is no image of an older version: set --image-before")
    namespace.template(volumes=[{"target": "/data", "size": "8Mi"}])
    namespace.instance("project", template=None)
    for name in ("running", "paused"):
        namespace.instance(name, "project")
    namespace.await_phase("Running", "project", "running", "paused")
    namespace.patch("paused", desiredState="Paused")
    namespace.await_phase("Paused", "paused")
    pods = namespace.restarts_by_pod()
    life = namespace.await_answer("running", starts=1)["life"]

    for installed in (previous, version):
        release.install(installed)
        (operator,) = release.pods("operator")
        assert operator["spec"]["containers"][0]["image"] == installed.image
        # The installed version reconciles changes.
        namespace.patch("project", desiredState="Paused")
        namespace.await_phase("Paused", "project", "running")
        namespace.patch("project", desiredState="Running")
        namespace.await_phase("Running", "project", "running")
        namespace.await_phase("Paused", "paused")
        assert namespace.restarts_by_pod() == pods
    namespace.await_answer("running", life=life, starts=1)
