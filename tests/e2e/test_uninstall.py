"""Uninstalling Hopper keeps instances and their workloads."""

from __future__ import annotations

from tests.e2e.release import RELEASE, InstanceNamespace, until


def test_the_instances_outlive_the_release(namespace: InstanceNamespace) -> None:
    release = namespace.release
    namespace.template()
    namespace.instance("web")
    namespace.await_phase("Running", "web")
    life = namespace.await_answer("web", greeting="")["life"]

    release.helm("uninstall", RELEASE, "--wait", "--timeout=3m")
    until(lambda: release.pods("operator") + release.pods("gateway"), [], "the pods of the release are gone")
    assert namespace.status("web")["phase"] == "Running"
    namespace.await_answer("web", life=life)

    # A new installation manages the same instances.
    release.install(release.site.version)
    namespace.patch("web", desiredState="Paused")
    namespace.await_phase("Paused", "web")
    assert namespace.request_pod("web")["life"] == life
