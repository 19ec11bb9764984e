"""Writes of HopperInstances, and the JSON merge patches that they send."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.adapters.custom_resources import KubeInstances, merge_patch
from hopper.api.enums import Phase
from hopper.domain.plan import MetadataChange
from hopper.ports import ConflictError
from tests.unit.adapters.server import Server, respond_json
from tests.unit.domain.sample_instances import instance, owned_by

PATH = "/apis/hopper.dev/v1/namespaces/default/hopperinstances/web"

WEB = instance("web", phase=Phase.STARTING)
WEB = replace(WEB, metadata=replace(WEB.metadata, resource_version="7"))

KEYS = st.sampled_from(["a", "b", "c", "d"])
LEAVES = st.one_of(st.booleans(), st.integers(-2, 2), st.floats(allow_nan=False), st.text(max_size=2))
# Without nulls outside of lists, because null means removal in a merge patch.
LISTS = st.lists(st.one_of(LEAVES, st.none(), st.dictionaries(KEYS, st.none() | LEAVES, max_size=2)), max_size=3)
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(st.one_of(LEAVES, LISTS), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8),
    max_size=4,
)


class TestInstances:
    async def test_a_status_write_patches_only_the_difference(self, server: Server) -> None:
        status = replace(WEB.status, phase=Phase.RUNNING, last_transition_time=None, restarts=1)
        await KubeInstances(server.kube).write_status(WEB, status)
        (received,) = server.received
        assert (received.method, received.path) == ("PATCH", f"{PATH}/status")
        assert received.body == {
            "metadata": {"resourceVersion": "7"},
            "status": {"phase": "Running", "lastTransitionTime": None, "restarts": 1},
        }

    async def test_the_first_status_is_written_completely(self, server: Server) -> None:
        new = replace(WEB, status=instance("web").status)
        await KubeInstances(server.kube).write_status(new, replace(new.status, observed_generation=1))
        status = server.received[0].body["status"]
        assert status["phase"] == "Created"
        assert status["observedGeneration"] == 1

    async def test_a_metadata_write_names_the_resource_version(self, server: Server) -> None:
        change = MetadataChange((owned_by(instance("shop")),), ("hopper.dev/ordered-deletion",))
        await KubeInstances(server.kube).write_metadata(WEB, change)
        owner = {
            "apiVersion": "hopper.dev/v1",
            "kind": "HopperInstance",
            "name": "shop",
            "uid": "uid-shop",
            "controller": True,
            "blockOwnerDeletion": True,
        }
        assert server.received[0].path == PATH
        assert server.received[0].body == {
            "metadata": {
                "resourceVersion": "7",
                "ownerReferences": [owner],
                "finalizers": ["hopper.dev/ordered-deletion"],
            }
        }

    async def test_a_deletion_has_uid_and_resource_version_as_preconditions(self, server: Server) -> None:
        await KubeInstances(server.kube).delete(WEB)
        (received,) = server.received
        assert (received.method, received.path) == ("DELETE", PATH)
        preconditions = {"uid": "uid-web", "resourceVersion": WEB.metadata.resource_version}
        assert received.body == {"preconditions": preconditions, "propagationPolicy": "Background"}

    async def test_a_deletion_with_a_conflict_fails(self, server: Server) -> None:
        server.handler = respond_json({"message": "the UID in the precondition does not match"}, 409)
        with pytest.raises(ConflictError):
            await KubeInstances(server.kube).delete(WEB)


def apply(target: Any, patch: Any) -> Any:
    """Apply a merge patch as specified in RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply(result.get(name), value)
    return result


def is_equal_json(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal. Unlike in Python, 1 is not equal to true."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(is_equal_json(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(is_equal_json, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and left == right


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_reference_algorithm_follows_the_examples_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert apply(target, patch) == result


@given(old=DOCUMENTS, new=DOCUMENTS)
def test_the_patch_turns_the_old_document_into_the_new_one(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert is_equal_json(apply(old, merge_patch(old, new)), new)


@pytest.mark.parametrize(("before", "after"), [(False, 0), (1, True), ([True], [1]), ([{"a": 0}], [{"a": False}])])
def test_a_number_is_not_equal_to_a_boolean(before: Any, after: Any) -> None:
    patch = merge_patch({"extra": {"value": before}}, {"extra": {"value": after}})
    assert is_equal_json(patch, {"extra": {"value": after}})


@given(old=DOCUMENTS)
def test_the_patch_of_equal_documents_is_empty(old: dict[str, Any]) -> None:
    assert merge_patch(old, old) == {}


@given(old=DOCUMENTS, new=DOCUMENTS)
def test_the_patch_is_minimal(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Without any one of its members, the patch does not produce the new document."""
    patch = merge_patch(old, new)
    for smaller in without_one(patch):
        assert not is_equal_json(apply(old, smaller), new)


def without_one(patch: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all patches that lack one member of a patch."""
    smaller_patches = []
    for key, value in patch.items():
        rest = {k: v for k, v in patch.items() if k != key}
        smaller_patches.append(rest)
        if isinstance(value, dict):
            smaller_patches += [{**rest, key: smaller} for smaller in without_one(value)]
    return smaller_patches
