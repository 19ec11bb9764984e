"""Template + overrides: what comes out, and where each value came from."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.api.service import Overrides
from hopper.api.template import TemplateSpec
from hopper.domain.service.merge import LIST_KINDS, Origin, merge
from tests.unit.domain.service.samples import FULL, Wire, merged, overrides_of, spec_of
from tests.unit.domain.service.strategies import OVERRIDES, TEMPLATES


class TestEntries:
    @pytest.mark.parametrize(
        ("kind", "theirs", "other", "own"),
        [
            ("ports", {"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}, {"hostPort": 8080}),
            ("volumes", {"target": "/a"}, {"target": "/b"}, {"size": "1Gi"}),
            ("env", {"name": "A", "value": "1"}, {"name": "B", "value": "1"}, {"value": "2"}),
            ("labels", {"name": "a", "value": "1"}, {"name": "b", "value": "1"}, {"value": "2"}),
            ("domains", {"domain": "a.b"}, {"domain": "b.b"}, {"proxyPort": 80}),
            ("configFiles", {"path": "/a", "content": "1"}, {"path": "/b"}, {"content": "2"}),
        ],
    )
    def test_replace_add_and_remove_by_key(self, kind: str, theirs: Wire, other: Wire, own: Wire) -> None:
        def entries(*overrides: Wire) -> tuple[object, ...]:
            effective = merged({kind: [theirs]}, {kind: list(overrides)})
            return tuple(getattr(effective.spec, {"configFiles": "config_files"}.get(kind, kind)))

        def wanted(*given: Wire) -> tuple[object, ...]:
            spec = spec_of({kind: list(given)})
            return tuple(getattr(spec, {"configFiles": "config_files"}.get(kind, kind)))

        key = {name: theirs[name] for name in other.keys() & theirs.keys() - {"value", "content"}}
        assert entries() == wanted(theirs)
        assert entries({**theirs, **own}) == wanted({**theirs, **own})
        assert entries(other) == wanted(theirs, other)
        assert entries({**key, "$remove": True}) == ()
        assert entries({**theirs, "$remove": False}) == wanted({**theirs, "$remove": False})

    def test_an_override_replaces_the_whole_entry(self) -> None:
        effective = merged(
            {"volumes": [{"target": "/a", "size": "5Gi", "readOnly": True}]}, {"volumes": [{"target": "/a"}]}
        )
        assert effective.spec.volumes == spec_of({"volumes": [{"target": "/a"}]}).volumes

    def test_everything_else_stays_as_the_template_has_it(self) -> None:
        effective = merged(FULL, {"env": [{"name": "TZ", "value": "x"}]})
        expected = replace(spec_of(FULL), **{kind.field: () for kind in LIST_KINDS})
        assert replace(effective.spec, **{kind.field: () for kind in LIST_KINDS}) == expected

    def test_the_order_is_that_of_the_keys(self) -> None:
        ports = [{"containerPort": 443}, {"containerPort": 80, "protocol": "UDP"}, {"containerPort": 80}]
        effective = merged({"ports": ports}, {"ports": [{"containerPort": 9}]})
        assert [(port.container_port, port.protocol.value) for port in effective.spec.ports] == [
            (9, "TCP"),
            (80, "TCP"),
            (80, "UDP"),
            (443, "TCP"),
        ]

    def test_removing_what_is_not_there_does_nothing(self) -> None:
        effective = merged({}, {"env": [{"name": "A", "$remove": True}], "healthcheck": {"$remove": True}})
        assert effective.spec == spec_of()
        assert effective.problems == ()
        assert (effective.removed, effective.unmatched_removals) == ((), ("env[A]", "healthcheck"))


class TestHealthcheck:
    def test_is_replaced_whole(self) -> None:
        effective = merged(
            {"healthcheck": {"test": ["CMD", "a"], "retries": 9}}, {"healthcheck": {"test": ["CMD", "b"]}}
        )
        assert effective.spec.healthcheck == spec_of({"healthcheck": {"test": ["CMD", "b"]}}).healthcheck
        assert effective.origin("healthcheck") is Origin.OVERRIDE

    def test_is_removed(self) -> None:
        effective = merged({"healthcheck": {"test": ["CMD", "a"]}}, {"healthcheck": {"$remove": True}})
        assert effective.spec.healthcheck is None
        assert effective.removed == ("healthcheck",)


SECRET = {"env": [{"name": "A", "value": "x", "secret": True}]}


class TestSecrecy:
    def test_is_kept_under_a_new_value(self) -> None:
        effective = merged(SECRET, {"env": [{"name": "A", "value": "y"}]})
        (entry,) = effective.spec.env
        assert (entry.value, entry.secret) == ("y", True)
        assert effective.provenance["env[A].value"] is Origin.OVERRIDE
        assert effective.provenance["env[A].secret"] is Origin.TEMPLATE

    def test_ends_where_the_override_says_so(self) -> None:
        (entry,) = merged(SECRET, {"env": [{"name": "A", "value": "y", "secret": False}]}).spec.env
        assert entry.secret is False

    def test_does_not_reach_a_reference(self) -> None:
        source = {"configMapKeyRef": {"name": "c", "key": "k"}}
        (entry,) = merged(SECRET, {"env": [{"name": "A", "valueFrom": source}]}).spec.env
        assert entry.secret is None


class TestProvenance:
    def test_names_the_source_of_every_value(self) -> None:
        effective = merged(
            {
                "ports": [{"containerPort": 80, "hostPort": 8080}],
                "resources": {"limits": {"cpu": "1"}},
                "healthcheck": {"test": ["CMD", "a"], "retries": 5},
            },
            {"env": [{"name": "A", "value": "1"}], "volumes": [{"target": "/a.b]c", "size": "1Gi"}]},
        )
        assert {path: origin.value for path, origin in effective.provenance.items()} == {
            "image": "template",
            "resources.limits.cpu": "template",
            "securityProfile": "default",
            "ports[80/TCP].containerPort": "template",
            "ports[80/TCP].protocol": "default",
            "ports[80/TCP].hostPort": "template",
            "volumes[/a.b]c].target": "override",
            "volumes[/a.b]c].type": "default",
            "volumes[/a.b]c].size": "override",
            "env[A].name": "override",
            "env[A].value": "override",
            "healthcheck.test": "template",
            "healthcheck.intervalSeconds": "default",
            "healthcheck.timeoutSeconds": "default",
            "healthcheck.retries": "template",
            "healthcheck.startPeriodSeconds": "default",
        }

    def test_shows_no_value(self) -> None:
        assert "s3cret-canary" not in str(merged(FULL).provenance)


class TestProblems:
    def test_a_template_has_nothing_to_remove(self) -> None:
        found = merged({"env": [{"name": "A", "$remove": True}], "healthcheck": {"$remove": True}})
        assert found.spec == spec_of()
        assert [str(problem) for problem in found.problems] == [
            f"template: spec.{path}: has $remove, which only works in overrides of an instance: delete the entry"
            for path in ("env[A]", "healthcheck")
        ]

    def test_a_key_twice(self) -> None:
        twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
        found = merged({"env": twice}, {"env": twice})
        assert [str(problem) for problem in found.problems] == [
            "template: spec.env[A]: is listed twice: remove one of the two",
            "spec.overrides.env[A]: is listed twice: remove one of the two",
        ]


class TestProperties:
    @given(TEMPLATES, OVERRIDES)
    def test_idempotent(self, template: TemplateSpec, overrides: Overrides) -> None:
        once = merge(template, overrides)
        assert merge(once.spec, overrides).spec == once.spec
        assert merge(once.spec, None).spec == once.spec

    @given(TEMPLATES, OVERRIDES, st.randoms(use_true_random=False))
    def test_independent_of_order(self, template: TemplateSpec, overrides: Overrides, random: st.random_module) -> None:
        def shuffled(record: TemplateSpec | Overrides) -> dict[str, tuple[object, ...]]:
            fields = {kind.field: list(getattr(record, kind.field)) for kind in LIST_KINDS}
            for entries in fields.values():
                random.shuffle(entries)  # type: ignore[attr-defined]
            return {field: tuple(entries) for field, entries in fields.items()}

        expected = merge(template, overrides)
        found = merge(replace(template, **shuffled(template)), replace(overrides, **shuffled(overrides)))
        assert found == expected
        assert found.provenance == expected.provenance

    @given(TEMPLATES, OVERRIDES)
    def test_nothing_is_changed(self, template: TemplateSpec, overrides: Overrides) -> None:
        before = copy.deepcopy((template, overrides))
        merge(template, overrides)
        assert (template, overrides) == before

    @given(TEMPLATES, OVERRIDES, st.data())
    def test_taking_back_an_override_restores_the_inherited_value(
        self, template: TemplateSpec, overrides: Overrides, data: st.DataObject
    ) -> None:
        kind = data.draw(st.sampled_from(LIST_KINDS))
        entries = getattr(overrides, kind.field)
        taken = data.draw(st.sampled_from(entries)) if entries else None
        rest = replace(overrides, **{kind.field: tuple(entry for entry in entries if entry is not taken)})
        found = {kind.key(entry): entry for entry in getattr(merge(template, rest).spec, kind.field)}
        inherited = {kind.key(entry): entry for entry in getattr(template, kind.field)}
        if taken is not None:
            assert found.get(kind.key(taken)) == inherited.get(kind.key(taken))
        assert merge(template, Overrides()) == merge(template, None)
        assert merge(template, None).overridden == frozenset()

    @given(TEMPLATES, OVERRIDES)
    def test_every_value_has_a_source(self, template: TemplateSpec, overrides: Overrides) -> None:
        effective = merge(template, overrides)
        for kind in LIST_KINDS:
            for entry in getattr(effective.spec, kind.field):
                path = kind.path(entry)
                own = {origin for where, origin in effective.provenance.items() if where.startswith(f"{path}.")}
                assert own - {Origin.DEFAULT} <= {effective.origin(path), Origin.TEMPLATE}
                assert own


def test_an_empty_override_counts_nothing() -> None:
    assert len(overrides_of({})) == 0
    assert merged(FULL, {}) == merged(FULL)
