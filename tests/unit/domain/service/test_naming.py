"""Names and labels of rendered objects."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.api.instance import HopperInstance
from hopper.api.names import is_reserved_object_name
from hopper.domain.hierarchy import parent_link
from hopper.domain.service.naming import (
    NameConflicts,
    base_name,
    name_objects,
    nearest_project,
    shorten_name,
    slug,
    unique_label,
)
from tests.unit.domain.sample_instances import InMemoryTree
from tests.unit.domain.service.samples import GLOBAL, PROJECT, instance

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", fullmatch=True)


class TestBaseName:
    @pytest.mark.parametrize(
        ("prefix", "project", "name", "expected"),
        [
            ("hopper", "web", "worker", "hopper-web-worker"),
            ("hopper", None, "worker", "hopper-worker"),
            ("hopper", "web", "web-worker", "hopper-web-worker"),
            ("hopper", "web", "website", "hopper-web-website"),
            ("h", "web", "web", "h-web-web"),
            ("hopper", "web", "1", "hopper-web-1"),
        ],
    )
    def test_follows_the_convention(self, prefix: str, project: str | None, name: str, expected: str) -> None:
        assert base_name(prefix, project, name) == expected

    def test_a_long_name_is_shortened_with_a_hash(self) -> None:
        name = base_name("hopper", "p" * 40, "i" * 40)
        assert len(name) <= 63
        assert name.startswith(f"hopper-{'p' * 40}-iiii")
        assert name != base_name("hopper", "p" * 40, "i" * 41)
        assert name == base_name("hopper", "p" * 40, "i" * 40)

    def test_a_changed_name_has_a_hash_of_the_original(self) -> None:
        assert base_name("hopper", None, "a.b") != base_name("hopper", None, "a-b")
        assert re.fullmatch(r"hopper-a-b-[0-9a-f]{8}", base_name("hopper", None, "a.b"))
        assert re.fullmatch(r"hopper-9-a-[0-9a-f]{8}", base_name("9", None, "a"))

    @given(st.text(max_size=20), st.none() | NAMES, NAMES)
    def test_is_always_a_dns_label(self, prefix: str, project: str | None, name: str) -> None:
        assert DNS_LABEL.fullmatch(base_name(prefix, project, name))


class TestNames:
    def test_the_project_is_the_nearest_ancestor_of_that_scope(self) -> None:
        inner = instance("inner", "Project")
        assert nearest_project((GLOBAL,)) is None
        assert nearest_project((instance("x", "Event"), inner, PROJECT)) == "inner"
        assert name_objects(instance(), (PROJECT, GLOBAL), "web").base == "hopper-shop-web-1"

    def test_the_name_in_the_status_is_kept(self) -> None:
        moved = instance(status={"workloadName": "hopper-old-web-1"})
        assert name_objects(moved, (PROJECT,), "web", prefix="other").base == "hopper-old-web-1"

    def test_labels_follow_the_convention(self) -> None:
        names = name_objects(instance(), (PROJECT, GLOBAL), "web-server")
        assert names.selector == {"hopper.dev/instance": "web-1"}
        assert names.labels == {
            "hopper.dev/instance": "web-1",
            "app.kubernetes.io/name": "web-server",
            "app.kubernetes.io/instance": "hopper-shop-web-1",
            "app.kubernetes.io/component": "orchestration",
            "app.kubernetes.io/managed-by": "hopper",
            "app.kubernetes.io/part-of": "shop",
        }

    def test_no_helm_release_of_the_instance_name_selects_the_pods(self) -> None:
        """Charts select by name and instance. A template `nginx` and an instance `web` must not match release `web`."""
        names = name_objects(instance("web"), (PROJECT,), "nginx")
        selector = {"app.kubernetes.io/name": "nginx", "app.kubernetes.io/instance": "web"}
        assert not selector.items() <= names.labels.items()
        assert all(label.startswith("hopper.dev/") for label in names.selector)

    @pytest.mark.parametrize(
        ("project", "name"),
        [
            *((None, f"heartbeats-{shard}") for shard in range(4)),
            *(("heartbeats", name) for name in ("0", "heartbeats-3")),
            *((None, name) for name in ("api-key-ci", "operator", "gateway", "heartbeats-17")),
        ],
    )
    def test_names_of_hoppers_own_objects_are_not_used(self, project: str | None, name: str) -> None:
        found = base_name("hopper", project, name)
        assert not is_reserved_object_name(found)
        assert DNS_LABEL.fullmatch(found)

    @pytest.mark.parametrize("name", ["heartbeats", "heartbeats-x", "api-keys", "gateway-2"])
    def test_similar_names_stay_plain(self, name: str) -> None:
        assert base_name("hopper", None, name) == f"hopper-{name}"

    @pytest.mark.parametrize(
        ("volume", "expected"),
        [
            ("data", "hopper-shop-web-1-data"),
            ("Kafka_Data.1", "hopper-shop-web-1-kafka-data-1"),
            ("/var/lib/x", "hopper-shop-web-1-var-lib-x"),
            ("/", "hopper-shop-web-1-root"),
        ],
    )
    def test_claims_are_named_after_the_volume(self, volume: str, expected: str) -> None:
        assert name_objects(instance(), (PROJECT,), "web").claim(volume) == expected

    def test_claims_keep_the_name_from_before_a_rename(self) -> None:
        """The status has precedence over the spec, which counts for a restored object without status."""
        renamed_from = {"name": "web-0", "claimPrefix": "hopper-shop-web-0"}
        renamed = name_objects(instance(renamedFrom=renamed_from), (PROJECT,), "web")
        assert (renamed.base, renamed.claim("data")) == ("hopper-shop-web-1", "hopper-shop-web-0-data")
        in_status = name_objects(
            instance(renamedFrom=renamed_from, status={"claimPrefix": "hopper-x"}), (PROJECT,), "web"
        )
        assert in_status.claim("data") == "hopper-x-data"

    @given(st.text(max_size=300))
    def test_claims_are_always_dns_labels(self, volume: str) -> None:
        assert DNS_LABEL.fullmatch(name_objects(instance("i" * 63), (PROJECT,), "web").claim(volume))


class TestNameConflicts:
    """Instances whose names and projects give the same base name."""

    @staticmethod
    def bases(*instances: HopperInstance) -> dict[str, str]:
        tree = InMemoryTree(instances)
        return {
            subject.name: name_objects(
                subject, parent_link(subject, tree).ancestors, "web", conflicts=NameConflicts(tree)
            ).base
            for subject in instances
        }

    @staticmethod
    def member(name: str, parent: str = "", age: int = 0, **fields: Any) -> HopperInstance:
        scope = {"scope": "Orchestration", "parentRef": {"name": parent}} if parent else {"scope": "Project"}
        subject = instance(name, **scope, templateRef={"name": "web"}, **fields)
        created = subject.metadata.creation_timestamp - timedelta(seconds=age)
        return replace(subject, metadata=replace(subject.metadata, creation_timestamp=created))

    def test_the_older_instance_gets_the_name(self) -> None:
        web = self.member("web")
        for age in (-1, 1):
            bases = self.bases(web, self.member("worker", "web"), self.member("web-worker", "web", age))
            winner, loser = ("web-worker", "worker") if age > 0 else ("worker", "web-worker")
            assert bases[winner] == "hopper-web-worker"
            assert re.fullmatch("hopper-web-worker-[0-9a-f]{8}", bases[loser])

    def test_the_first_by_name_gets_the_name_if_both_have_the_same_age(self) -> None:
        found = self.bases(self.member("web"), self.member("worker", "web"), self.member("web-worker", "web"))
        assert found["web-worker"] == "hopper-web-worker"

    def test_an_instance_keeps_its_name(self) -> None:
        holder = self.member("worker", "web", status={"workloadName": "hopper-web-worker"})
        found = self.bases(self.member("web"), holder, self.member("web-worker", "web", 99))
        assert found["worker"] == "hopper-web-worker"
        assert found["web-worker"] != "hopper-web-worker"

    def test_the_older_keeps_the_name_if_both_have_it(self) -> None:
        """Both can have it if each got its name before the other one was known."""
        both = {"status": {"workloadName": "hopper-web-worker"}}
        found = self.bases(
            self.member("web"), self.member("worker", "web", **both), self.member("web-worker", "web", 9, **both)
        )
        assert found["web-worker"] == "hopper-web-worker"
        assert found["worker"] != "hopper-web-worker"

    def test_a_reserved_name_counts_as_given(self) -> None:
        """The status of the instance is not written yet."""
        first, second = self.member("worker", "web"), self.member("web-worker", "web", 9)
        forest = InMemoryTree((self.member("web"), first, second))
        conflicts = NameConflicts(forest, lambda other: "hopper-web-worker" if other.name == "worker" else None)
        ancestors = (self.member("web"),)
        assert name_objects(first, ancestors, "web", conflicts=conflicts).base == "hopper-web-worker"
        assert name_objects(second, ancestors, "web", conflicts=conflicts).base != "hopper-web-worker"

    def test_an_instance_with_another_name_does_not_conflict(self) -> None:
        moved = self.member("worker", "web", 99, status={"workloadName": "hopper-old-worker"})
        found = self.bases(self.member("web"), moved, self.member("web-worker", "web"))
        assert found["web-worker"] == "hopper-web-worker"

    def test_a_logical_instance_does_not_conflict(self) -> None:
        logical = instance("web-worker", parentRef={"name": "web"})
        assert self.bases(self.member("web"), self.member("worker", "web"), logical)["worker"] == "hopper-web-worker"

    def test_names_across_projects_can_conflict(self) -> None:
        found = self.bases(
            self.member("a"), self.member("a-x"), self.member("x-b", "a"), self.member("b", "a-x"), self.member("a-x-b")
        )
        assert len(set(found.values())) == 5

    @given(st.data())
    def test_base_names_are_unique(self, data: st.DataObject) -> None:
        names = [data.draw(st.sampled_from(["a", "b", "a-b", "b-a", "a-a", "a-b-a", "b-a-b", "a.b"])) for _ in range(7)]
        projects = data.draw(st.sets(st.sampled_from(["a", "b", "a-b"]), min_size=1))
        found = [self.member(name, age=data.draw(st.integers(0, 2))) for name in sorted(projects)]
        for name in sorted(set(names) - projects):
            parent = data.draw(st.sampled_from(["", *sorted(projects)]))
            found.append(self.member(name, parent, data.draw(st.integers(0, 2))))
        bases = self.bases(*found)
        assert len(set(bases.values())) == len(bases)


class TestLabels:
    @given(st.text(max_size=80), st.text(max_size=80))
    def test_unique_label_differs_for_different_paths(self, one: str, other: str) -> None:
        if one.removeprefix("/") != other.removeprefix("/"):
            assert unique_label(one) != unique_label(other)
        assert len(unique_label(one)) <= 63

    def test_unique_label_resembles_the_path(self) -> None:
        assert unique_label("/var/lib/x1") == "var-lib-x1"
        assert unique_label("/var-lib/x1").startswith("var-lib-x1-")
        assert slug("/") == "root"
        assert shorten_name("a") == "a"
