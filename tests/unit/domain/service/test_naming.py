"""What rendered objects are called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.domain.service.files import ConfigFile
from hopper.domain.service.naming import base_name, distinct, names_of, nearest_project, shortened, slug
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
        assert names_of(instance(), (PROJECT, GLOBAL), "web").base == "hopper-shop-web-1"

    def test_a_name_once_given_stays(self) -> None:
        moved = instance(status={"workloadName": "hopper-old-web-1"})
        assert names_of(moved, (PROJECT,), "web", prefix="other").base == "hopper-old-web-1"

    def test_labels_follow_the_convention(self) -> None:
        names = names_of(instance(), (PROJECT, GLOBAL), "web-server")
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
        before, after = names_of(instance(), (PROJECT,), "web"), names_of(instance(), (GLOBAL,), "web")
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
        assert names_of(instance(), (PROJECT,), "web").claim(volume) == expected

    @given(st.text(max_size=300))
    def test_claims_are_always_dns_labels(self, volume: str) -> None:
        assert DNS_LABEL.fullmatch(names_of(instance("i" * 63), (PROJECT,), "web").claim(volume))


class TestParts:
    @given(st.text(max_size=80), st.text(max_size=80))
    def test_distinct_stands_for_one_text_only(self, one: str, other: str) -> None:
        assert (distinct(one) == distinct(other)) is (one.removeprefix("/") == other.removeprefix("/") or one == other)
        assert len(distinct(one)) <= 63

    def test_distinct_is_readable_where_it_can_be(self) -> None:
        assert distinct("/var/lib/x1") == "var-lib-x1"
        assert distinct("/var-lib/x1").startswith("var-lib-x1-")
        assert slug("/") == "root"
        assert shortened("a") == "a"


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
