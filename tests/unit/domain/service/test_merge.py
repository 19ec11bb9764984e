"""Merge of templates and overrides: the effective service and the origin of each value."""

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
        ("kind", "entry", "other", "change"),
        [
            ("ports", {"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}, {"hostPort": 8080}),
            ("volumes", {"target": "/a"}, {"target": "/b"}, {"size": "1Gi"}),
            ("env", {"name": "A", "value": "1"}, {"name": "B", "value": "1"}, {"value": "2"}),
            ("labels", {"name": "a", "value": "1"}, {"name": "b", "value": "1"}, {"value": "2"}),
            ("domains", {"domain": "a.b"}, {"domain": "b.b"}, {"proxyPort": 80}),
            ("configFiles", {"path": "/a", "content": "1"}, {"path": "/b"}, {"content": "2"}),
        ],
    )
    def test_replace_add_and_remove_by_key(self, kind: str, entry: Wire, other: Wire, change: Wire) -> None:
        def entries(*overrides: Wire) -> tuple[object, ...]:
            effective = merged({kind: [entry]}, {kind: list(overrides)})
            return tuple(getattr(effective.spec, {"configFiles": "config_files"}.get(kind, kind)))

        def expected(*given: Wire) -> tuple[object, ...]:
            spec = spec_of({kind: list(given)})
            return tuple(getattr(spec, {"configFiles": "config_files"}.get(kind, kind)))

        key = {name: entry[name] for name in other.keys() & entry.keys() - {"value", "content"}}
        assert entries() == expected(entry)
        assert entries({**entry, **change}) == expected({**entry, **change})
        assert entries(other) == expected(entry, other)
        assert entries({**key, "$remove": True}) == ()
        assert entries({**entry, "$remove": False}) == expected({**entry, "$remove": False})

    def test_an_override_replaces_the_whole_entry(self) -> None:
        effective = merged(
            {"volumes": [{"target": "/a", "size": "5Gi", "readOnly": True}]}, {"volumes": [{"target": "/a"}]}
        )
        assert effective.spec.volumes == spec_of({"volumes": [{"target": "/a"}]}).volumes

    def test_fields_without_overrides_keep_their_values(self) -> None:
        effective = merged(FULL, {"env": [{"name": "TZ", "value": "x"}]})
        expected = replace(spec_of(FULL), **{kind.field: () for kind in LIST_KINDS})
        assert replace(effective.spec, **{kind.field: () for kind in LIST_KINDS}) == expected

    def test_entries_are_sorted_by_key(self) -> None:
        ports = [{"containerPort": 443}, {"containerPort": 80, "protocol": "UDP"}, {"containerPort": 80}]
        effective = merged({"ports": ports}, {"ports": [{"containerPort": 9}]})
        assert [(port.container_port, port.protocol.value) for port in effective.spec.ports] == [
            (9, "TCP"),
            (80, "TCP"),
            (80, "UDP"),
            (443, "TCP"),
        ]

    def test_removing_an_unknown_entry_has_no_effect(self) -> None:
        effective = merged({}, {"env": [{"name": "A", "$remove": True}], "healthcheck": {"$remove": True}})
        assert effective.spec == spec_of()
        assert effective.problems == ()
        assert (effective.removed, effective.unmatched_removals) == ((), ("env[A]", "healthcheck"))


class TestHealthcheck:
    def test_is_replaced_as_a_unit(self) -> None:
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
    def test_is_inherited_by_a_new_value(self) -> None:
        effective = merged(SECRET, {"env": [{"name": "A", "value": "y"}]})
        (entry,) = effective.spec.env
        assert (entry.value, entry.secret) == ("y", True)
        assert effective.provenance["env[A].value"] is Origin.OVERRIDE
        assert effective.provenance["env[A].secret"] is Origin.TEMPLATE

    def test_ends_if_the_override_sets_secret_false(self) -> None:
        (entry,) = merged(SECRET, {"env": [{"name": "A", "value": "y", "secret": False}]}).spec.env
        assert entry.secret is False

    def test_is_not_inherited_by_a_reference(self) -> None:
        source = {"configMapKeyRef": {"name": "c", "key": "k"}}
        (entry,) = merged(SECRET, {"env": [{"name": "A", "valueFrom": source}]}).spec.env
        assert entry.secret is None


class TestProvenance:
    def test_has_the_origin_of_every_value(self) -> None:
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

    def test_contains_no_values(self) -> None:
        assert "s3cret-canary" not in str(merged(FULL).provenance)


class TestProblems:
    def test_remove_in_a_template_is_a_problem(self) -> None:
        effective = merged({"env": [{"name": "A", "$remove": True}], "healthcheck": {"$remove": True}})
        assert effective.spec == spec_of()
        assert [str(problem) for problem in effective.problems] == [
            f"template: spec.{path}: has $remove, which only works in overrides of an instance: delete the entry"
            for path in ("env[A]", "healthcheck")
        ]

    def test_a_duplicate_key_is_a_problem(self) -> None:
        twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
        effective = merged({"env": twice}, {"env": twice})
        assert [str(problem) for problem in effective.problems] == [
            "template: spec.env[A]: is listed twice: remove one of the two",
            "spec.overrides.env[A]: is listed twice: remove one of the two",
        ]


class TestProperties:
    @given(TEMPLATES, OVERRIDES)
    def test_merging_twice_changes_nothing(self, template: TemplateSpec, overrides: Overrides) -> None:
        once = merge(template, overrides)
        assert merge(once.spec, overrides).spec == once.spec
        assert merge(once.spec, None).spec == once.spec

    @given(TEMPLATES, OVERRIDES, st.randoms(use_true_random=False))
    def test_the_order_of_entries_does_not_matter(
        self, template: TemplateSpec, overrides: Overrides, random: st.random_module
    ) -> None:
        def shuffled(record: TemplateSpec | Overrides) -> dict[str, tuple[object, ...]]:
            fields = {kind.field: list(getattr(record, kind.field)) for kind in LIST_KINDS}
            for entries in fields.values():
                random.shuffle(entries)  # type: ignore[attr-defined]
            return {field: tuple(entries) for field, entries in fields.items()}

        expected = merge(template, overrides)
        effective = merge(replace(template, **shuffled(template)), replace(overrides, **shuffled(overrides)))
        assert effective == expected
        assert effective.provenance == expected.provenance

    @given(TEMPLATES, OVERRIDES)
    def test_the_inputs_are_not_changed(self, template: TemplateSpec, overrides: Overrides) -> None:
        before = copy.deepcopy((template, overrides))
        merge(template, overrides)
        assert (template, overrides) == before

    @given(TEMPLATES, OVERRIDES, st.data())
    def test_deleting_an_override_restores_the_template_entry(
        self, template: TemplateSpec, overrides: Overrides, data: st.DataObject
    ) -> None:
        kind = data.draw(st.sampled_from(LIST_KINDS))
        entries = getattr(overrides, kind.field)
        deleted = data.draw(st.sampled_from(entries)) if entries else None
        remaining = replace(overrides, **{kind.field: tuple(entry for entry in entries if entry is not deleted)})
        by_key = {kind.key(entry): entry for entry in getattr(merge(template, remaining).spec, kind.field)}
        inherited = {kind.key(entry): entry for entry in getattr(template, kind.field)}
        if deleted is not None:
            assert by_key.get(kind.key(deleted)) == inherited.get(kind.key(deleted))
        assert merge(template, Overrides()) == merge(template, None)
        assert merge(template, None).overridden == frozenset()

    @given(TEMPLATES, OVERRIDES)
    def test_every_value_has_an_origin(self, template: TemplateSpec, overrides: Overrides) -> None:
        effective = merge(template, overrides)
        for kind in LIST_KINDS:
            for entry in getattr(effective.spec, kind.field):
                path = kind.path(entry)
                origins = {origin for where, origin in effective.provenance.items() if where.startswith(f"{path}.")}
                assert origins - {Origin.DEFAULT} <= {effective.origin(path), Origin.TEMPLATE}
                assert origins


def test_empty_overrides_are_the_same_as_none() -> None:
    assert len(overrides_of({})) == 0
    assert merged(FULL, {}) == merged(FULL)
