"""Hopper goes, and what it looked after stays."""

from __future__ import annotations

from tests.e2e.hopper import RELEASE, Space, until


def test_the_instances_outlive_the_release(space: Space) -> None:
    system = space.system
    space.template()
    space.instance("web")
    space.await_phase("Running", "web")
    life = space.await_answer("web", greeting="")["life"]

    system.helm("uninstall", RELEASE, "--wait", "--timeout=3m")
    until(lambda: system.pods("operator") + system.pods("gateway"), [], "its pods are gone")
    assert space.status("web")["phase"] == "Running"
    space.await_answer("web", life=life)

    # And goes on where it was.
    system.install(system.site.version)
    space.patch("web", desiredState="Paused")
    space.await_phase("Paused", "web")
    assert space.ask_pod("web")["life"] == life
