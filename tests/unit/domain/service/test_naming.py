"""What rendered objects are called."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.api.instance import HopperInstance
from hopper.domain.hierarchy import parent_link
from hopper.domain.service.config_files import ConfigFile
from hopper.domain.service.naming import (
    NameConflicts,
    base_name,
    name_objects,
    nearest_project,
    shorten_name,
    slug,
    unique_label,
)
from tests.unit.domain.sample_instances import Forest
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

    def test_is_shortened_with_a_hash(self) -> None:
        found = base_name("hopper", "p" * 40, "i" * 40)
        assert len(found) <= 63
        assert found.startswith(f"hopper-{'p' * 40}-iiii")
        assert found != base_name("hopper", "p" * 40, "i" * 41)
        assert found == base_name("hopper", "p" * 40, "i" * 40)

    def test_what_had_to_be_changed_stays_distinct(self) -> None:
        assert base_name("hopper", None, "a.b") != base_name("hopper", None, "a-b")
        assert re.fullmatch(r"hopper-a-b-[0-9a-f]{8}", base_name("hopper", None, "a.b"))
        assert re.fullmatch(r"hopper-9-a-[0-9a-f]{8}", base_name("9", None, "a"))

    @given(st.text(max_size=20), st.none() | NAMES, NAMES)
    def test_is_always_a_dns_label(self, prefix: str, project: str | None, name: str) -> None:
        assert DNS_LABEL.fullmatch(base_name(prefix, project, name))


class TestNames:
    def test_the_project_is_the_nearest_one_above(self) -> None:
        inner = instance("inner", "Project")
        assert nearest_project((GLOBAL,)) is None
        assert nearest_project((instance("x", "Event"), inner, PROJECT)) == "inner"
        assert name_objects(instance(), (PROJECT, GLOBAL), "web").base == "hopper-shop-web-1"

    def test_a_name_once_given_stays(self) -> None:
        moved = instance(status={"workloadName": "hopper-old-web-1"})
        assert name_objects(moved, (PROJECT,), "web", prefix="other").base == "hopper-old-web-1"

    def test_labels_follow_the_convention(self) -> None:
        names = name_objects(instance(), (PROJECT, GLOBAL), "web-server")
        assert names.selector == {"hopper.dev/instance": "web-1"}
        assert names.labels == {
            "hopper.dev/instance": "web-1",
            "app.kubernetes.io/name": "web-server",
            "app.kubernetes.io/instance": "web-1",
            "app.kubernetes.io/component": "orchestration",
            "app.kubernetes.io/managed-by": "hopper",
            "app.kubernetes.io/part-of": "shop",
        }

    def test_a_move_leaves_the_pods_alone(self) -> None:
        before, after = name_objects(instance(), (PROJECT,), "web"), name_objects(instance(), (GLOBAL,), "web")
        assert before.labels != after.labels
        assert before.pod_labels == after.pod_labels

    @pytest.mark.parametrize(
        ("volume", "expected"),
        [
            ("data", "hopper-shop-web-1-data"),
            ("Kafka_Data.1", "hopper-shop-web-1-kafka-data-1"),
            ("/var/lib/x", "hopper-shop-web-1-var-lib-x"),
            ("/", "hopper-shop-web-1-root"),
        ],
    )
    def test_claims(self, volume: str, expected: str) -> None:
        assert name_objects(instance(), (PROJECT,), "web").claim(volume) == expected

    def test_claims_keep_the_first_name(self) -> None:
        """What the status says counts, then what the spec says: a restored object has no status."""
        said = {"name": "web-0", "claimPrefix": "hopper-shop-web-0"}
        renamed = name_objects(instance(renamedFrom=said), (PROJECT,), "web")
        assert (renamed.base, renamed.claim("data")) == ("hopper-shop-web-1", "hopper-shop-web-0-data")
        noted = name_objects(instance(renamedFrom=said, status={"claimPrefix": "hopper-x"}), (PROJECT,), "web")
        assert noted.claim("data") == "hopper-x-data"

    @given(st.text(max_size=300))
    def test_claims_are_always_dns_labels(self, volume: str) -> None:
        assert DNS_LABEL.fullmatch(name_objects(instance("i" * 63), (PROJECT,), "web").claim(volume))


class TestNamesakes:
    """Instances whose names and projects lead to the same name for what they own."""

    @staticmethod
    def bases(*instances: HopperInstance) -> dict[str, str]:
        tree = Forest(instances)
        return {
            it.name: name_objects(it, parent_link(it, tree).ancestors, "web", conflicts=NameConflicts(tree)).base
            for it in instances
        }

    @staticmethod
    def one(name: str, parent: str = "", age: int = 0, **fields: Any) -> HopperInstance:
        scope = {"scope": "Orchestration", "parentRef": {"name": parent}} if parent else {"scope": "Project"}
        made = instance(name, **scope, templateRef={"name": "web"}, **fields)
        created = made.metadata.creation_timestamp - timedelta(seconds=age)
        return replace(made, metadata=replace(made.metadata, creation_timestamp=created))

    def test_the_older_one_has_the_name(self) -> None:
        web = self.one("web")
        for age in (-1, 1):
            found = self.bases(web, self.one("worker", "web"), self.one("web-worker", "web", age))
            winner, loser = ("web-worker", "worker") if age > 0 else ("worker", "web-worker")
            assert found[winner] == "hopper-web-worker"
            assert re.fullmatch("hopper-web-worker-[0-9a-f]{8}", found[loser])

    def test_of_two_of_an_age_the_first_by_name(self) -> None:
        found = self.bases(self.one("web"), self.one("worker", "web"), self.one("web-worker", "web"))
        assert found["web-worker"] == "hopper-web-worker"

    def test_who_bears_it_keeps_it(self) -> None:
        bearer = self.one("worker", "web", status={"workloadName": "hopper-web-worker"})
        found = self.bases(self.one("web"), bearer, self.one("web-worker", "web", 99))
        assert found["worker"] == "hopper-web-worker"
        assert found["web-worker"] != "hopper-web-worker"

    def test_of_two_that_bear_it_the_older_keeps_it(self) -> None:
        """Both were named before they had heard of each other."""
        both = {"status": {"workloadName": "hopper-web-worker"}}
        found = self.bases(self.one("web"), self.one("worker", "web", **both), self.one("web-worker", "web", 9, **both))
        assert found["web-worker"] == "hopper-web-worker"
        assert found["worker"] != "hopper-web-worker"

    def test_the_first_to_ask_has_it(self) -> None:
        """Its status does not say so yet."""
        first, second = self.one("worker", "web"), self.one("web-worker", "web", 9)
        forest = Forest((self.one("web"), first, second))
        namesakes = NameConflicts(forest, lambda it: "hopper-web-worker" if it.name == "worker" else None)
        above = (self.one("web"),)
        assert name_objects(first, above, "web", conflicts=namesakes).base == "hopper-web-worker"
        assert name_objects(second, above, "web", conflicts=namesakes).base != "hopper-web-worker"

    def test_who_bears_another_does_not_count(self) -> None:
        moved = self.one("worker", "web", 99, status={"workloadName": "hopper-old-worker"})
        found = self.bases(self.one("web"), moved, self.one("web-worker", "web"))
        assert found["web-worker"] == "hopper-web-worker"

    def test_who_runs_nothing_does_not_count(self) -> None:
        logical = instance("web-worker", parentRef={"name": "web"})
        assert self.bases(self.one("web"), self.one("worker", "web"), logical)["worker"] == "hopper-web-worker"

    def test_projects_may_meet_as_well(self) -> None:
        found = self.bases(
            self.one("a"), self.one("a-x"), self.one("x-b", "a"), self.one("b", "a-x"), self.one("a-x-b")
        )
        assert len(set(found.values())) == 5

    @given(st.data())
    def test_no_two_ever_share_a_name(self, data: st.DataObject) -> None:
        names = [data.draw(st.sampled_from(["a", "b", "a-b", "b-a", "a-a", "a-b-a", "b-a-b", "a.b"])) for _ in range(7)]
        projects = data.draw(st.sets(st.sampled_from(["a", "b", "a-b"]), min_size=1))
        found = [self.one(name, age=data.draw(st.integers(0, 2))) for name in sorted(projects)]
        for name in sorted(set(names) - projects):
            parent = data.draw(st.sampled_from(["", *sorted(projects)]))
            found.append(self.one(name, parent, data.draw(st.integers(0, 2))))
        bases = self.bases(*found)
        assert len(set(bases.values())) == len(bases)


class TestParts:
    @given(st.text(max_size=80), st.text(max_size=80))
    def test_unique_label_differs_for_different_paths(self, one: str, other: str) -> None:
        if one.removeprefix("/") != other.removeprefix("/"):
            assert unique_label(one) != unique_label(other)
        assert len(unique_label(one)) <= 63

    def test_distinct_is_readable_where_it_can_be(self) -> None:
        assert unique_label("/var/lib/x1") == "var-lib-x1"
        assert unique_label("/var-lib/x1").startswith("var-lib-x1-")
        assert slug("/") == "root"
        assert shorten_name("a") == "a"


class TestKeys:
    @pytest.mark.parametrize(
        ("path", "key"),
        [
            ("/etc/app.conf", "-etc-app.conf"),
            ("/etc/my_app/x", "-etc-my_app-x"),
            ("/..x", "-..x"),
        ],
    )
    def test_are_readable(self, path: str, key: str) -> None:
        assert ConfigFile(path, "", 0).key == key

    @given(
        st.from_regex(r"(/[^/\x00]{1,40}){1,9}", fullmatch=True), st.from_regex(r"(/[ab-]{1,4}){1,3}", fullmatch=True)
    )
    def test_are_valid_and_distinct(self, one: str, other: str) -> None:
        first, second = ConfigFile(one, "", 0).key, ConfigFile(other, "", 0).key
        assert re.fullmatch(r"-[-._a-zA-Z0-9]{1,252}", first)
        assert (first == second) is (one == other)

    def test_look_alikes_differ(self) -> None:
        paths = ["/a/b", "/a-b", "/a b", "/a/b ", "/ä", "/ö", "/" + "x" * 300, "/" + "x" * 301]
        assert len({ConfigFile(path, "", 0).key for path in paths}) == len(paths)
