"""Conversion of `depends_on` and `links`."""

from __future__ import annotations

from tests.unit.compose.compose_directory import ComposeDirectory


class TestDependencies:
    def test_lists_and_mappings_are_converted(self, project: ComposeDirectory) -> None:
        services = "  b_b: {image: a}\n  c: {image: a}\n"
        assert project.convert(
            f"services:\n  app: {{image: a, depends_on: [b_b, c]}}\n{services}"
        ).spec().depends_on == (
            "b-b",
            "c",
        )
        text = """{b_b: {condition: service_healthy, restart: true}, c: {condition: service_started},
            d: {required: false, condition: service_started}}"""
        result = project.convert(f"services:\n  app: {{image: a, depends_on: {text}}}\n{services}")
        assert result.spec().depends_on == ("b-b", "c")
        assert {"depends_on.b_b.restart"} == {key for key in result.dropped if key.startswith("depends_on")}
        assert "depends_on.d" in result.notes

    def test_a_service_outside_the_import_is_waited_for(self, project: ComposeDirectory) -> None:
        result = project.app("depends_on: [elsewhere]")
        assert result.spec().depends_on == ("elsewhere",)
        assert "waits for elsewhere" in result.notes["depends_on.elsewhere"].message

    def test_an_optional_service_that_starts_stopped_is_not_waited_for(self, project: ComposeDirectory) -> None:
        text = """
            services:
              app:
                image: a
                depends_on:
                  debug: {condition: service_started, required: false}
                  db: {condition: service_started}
              debug: {image: a, profiles: [debug]}
              db: {image: a, profiles: [full]}
            """
        result = project.convert(text, stack="s")
        assert result.spec().depends_on == ("db",)
        assert "starts Stopped" in result.notes["depends_on.debug"].message
        project.write(".env", "COMPOSE_PROFILES=other, debug\n")
        result = project.convert(text, stack="s")
        assert result.spec().depends_on == ("debug", "db")
        states = {
            name: result.manifest("HopperInstance", f"s-{name}")["spec"].get("desiredState") for name in ("debug", "db")
        }
        assert states == {"debug": None, "db": "Stopped"}

    def test_a_service_that_is_left_out_is_not_waited_for(self, project: ComposeDirectory) -> None:
        result = project.convert("services: {app: {image: a, depends_on: [db]}, db: {provider: {type: cloud}}}")
        assert result.spec().depends_on is None
        assert "left out" in result.dropped["depends_on.db"].message

    def test_completion_is_not_waited_for(self, project: ComposeDirectory) -> None:
        result = project.convert(
            """
            services:
              app: {image: a, depends_on: {init: {condition: service_completed_successfully}}}
              init: {image: a}
            """
        )
        assert result.spec().depends_on is None
        (finding,) = (
            finding for finding in result.conversion.findings if (finding.service, finding.key) == ("init", "restart")
        )
        assert "starts it again whenever it ends" in finding.message
        assert "instances never complete" in result.dropped["depends_on.init"].message

    def test_links_become_dependencies(self, project: ComposeDirectory) -> None:
        result = project.convert("services: {app: {image: a, links: ['db:database', db]}, db: {image: postgres}}")
        assert result.spec().depends_on == ("db",)
        assert "links" in result.dropped

    def test_the_dependency_that_closes_a_cycle_is_removed(self, project: ComposeDirectory) -> None:
        result = project.convert(
            """
            services:
              app: {image: a, depends_on: [b, app]}
              b: {image: a, depends_on: [c], expose: [1]}
              c: {image: a, depends_on: [app], expose: [1]}
            """
        )
        assert [result.spec(name).depends_on for name in ("app", "b", "c")] == [("b",), ("c",), None]
        assert "closes a cycle" in result.dropped["depends_on.app"].message

    def test_a_service_does_not_wait_for_itself(self, project: ComposeDirectory) -> None:
        result = project.convert("services: {app: {image: a, depends_on: [app]}}")
        assert result.spec().depends_on is None
        assert "closes a cycle" in result.dropped["depends_on.app"].message


def test_services_of_a_provider_are_left_out(project: ComposeDirectory) -> None:
    result = project.convert("services: {app: {image: a}, model: {provider: {type: model}}}")
    assert [service.service for service in result.conversion.services] == ["app"]
    assert "left out" in result.dropped["provider"].message
