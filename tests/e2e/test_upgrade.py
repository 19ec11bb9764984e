"""Another version of Hopper, and back: what runs does not notice."""

from __future__ import annotations

import pytest

from tests.e2e.hopper import Space


def test_no_instance_is_restarted_by_an_upgrade(space: Space) -> None:
    system, version, before = space.system, space.system.site.version, space.system.site.before
    if before is None:
        pytest.skip("there is no older image: --image-before")
    space.template(volumes=[{"target": "/data", "size": "8Mi"}])
    space.instance("project", template=None)
    for name in ("running", "paused"):
        space.instance(name, "project")
    space.await_phase("Running", "project", "running", "paused")
    space.patch("paused", desiredState="Paused")
    space.await_phase("Paused", "paused")
    pods = space.everybodys_pods()
    life = space.await_answer("running", starts=1)["life"]

    for state in (before, version):
        system.install(state)
        (operator,) = system.pods("operator")
        assert operator["spec"]["containers"][0]["image"] == state.image
        # It is at work: what it is asked for now, it does.
        space.patch("project", desiredState="Paused")
        space.await_phase("Paused", "project", "running")
        space.patch("project", desiredState="Running")
        space.await_phase("Running", "project", "running")
        space.await_phase("Paused", "paused")
        assert space.everybodys_pods() == pods
    space.await_answer("running", life=life, starts=1)
