"""Comparison of rendered objects with live objects: drift, foreign fields, and the manifest to apply.

Every reconcile compares, so that an object without drift is not written. Every rendered value is compared. In lists,
selectors, data and security settings, additions by others are drift too. Elsewhere, fields that the API server or other
clients add are ignored: defaults, allocated fields, annotations and finalizers.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hopper.api.names import OWN_LABELS
from hopper.api.resources import Manifest
from hopper.domain.service.quantity import nanos
from hopper.domain.service.render.mode import Mode

_EntryKey = Callable[[Mapping[str, Any]], str]
_MISSING: Any = object()
_NO_PATHS: list[str] = []


def _key_from(*fields: str) -> _EntryKey:
    return lambda entry: "/".join(str(entry[field]) for field in fields if field in entry)


# Lists that server-side apply merges by key, so that another field manager can add entries.
_KEYED_LISTS: dict[str, _EntryKey] = {
    "containers": _key_from("name"),
    "env": _key_from("name"),
    "volumes": _key_from("name"),
    "volumeMounts": _key_from("mountPath"),
    "ports": _key_from("containerPort", "port", "protocol"),
}
# Fields that only the operator sets, with the subfields that the API server defaults; others are foreign.
# `[]` stands for the entries of a list.
_EXCLUSIVE_FIELDS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("data", "selector", "matchLabels", "strategy", "securityContext", "capabilities"), frozenset()),
    **dict.fromkeys(("env[]", "volumes[]", "volumeMounts[]"), frozenset()),
    "containers[]": frozenset({"imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy", "resources"}),
}
# Fields that others may extend (with a node selector, tolerations, …), with the subfields that they may not add.
_FORBIDDEN_FIELDS: dict[str, tuple[str, ...]] = {
    "spec": (
        *("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "serviceAccountName", "serviceAccount"),
        *("initContainers", "externalIPs", "paused"),  # kubectl rollout pause would keep all changes from the pods
    ),
    "ports[]": ("hostPort", "hostIP"),
    **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe"), ("httpGet", "tcpSocket", "grpc")),
}
# Fields replaced as a unit, because their subfields exclude each other. Removing a single subfield would leave the
# field empty, or make the API server fill in a default.
_REPLACED_AS_UNIT = frozenset({"strategy", "env[]", "volumes[]", "livenessProbe", "readinessProbe", "startupProbe"})
_QUANTITIES = frozenset({"cpu", "memory", "storage", "sizeLimit"})
_IDENTITY = frozenset({"apiVersion", "kind", "metadata"})


def drifted_paths(rendered: Manifest, live: Manifest) -> tuple[str, ...]:
    """Return the paths, such as `spec.replicas`, where the live object differs from the rendered object.

    The paths contain no values, which can be secret.
    """
    paths = _drifted_metadata(rendered["metadata"], live["metadata"])
    for field, want in rendered.items():
        if field not in _IDENTITY and want != (have := live.get(field, _MISSING)):
            paths += _prefixed(field, _compare(want, have, field))
    return tuple(paths)


def pod_template_matches(rendered: Manifest, live: Manifest) -> bool:
    """Whether applying the pod template of a rendered Deployment would not change the live one."""
    return not _compare(rendered["spec"]["template"], live["spec"]["template"], "template")


def foreign_field_patch(rendered: Manifest, live: Manifest) -> list[dict[str, Any]]:
    """Return a JSON patch that removes foreign fields from the places that only the operator sets.

    Server-side apply keeps the fields of other field managers. The API server rejects an apply if such a field excludes
    a rendered one, such as a second source of a volume. So the patch is made for the object returned by an apply, or
    for the live object after a rejected apply. The patch fails with a conflict if the object has changed since.
    The list is empty if there is nothing to remove.
    """
    operations = list(_label_removals(rendered, live))
    for field, want in rendered.items():
        if field not in _IDENTITY:
            operations += _removals(want, live.get(field), field, f"/{field}")
    if not operations:
        return []
    return [_operation("replace", "/metadata/resourceVersion", live["metadata"]["resourceVersion"]), *operations]


def manifest_to_apply(rendered: Manifest, live: Manifest, mode: Mode) -> Manifest:
    """Return the rendered manifest, changed where the API server would reject it for this live object."""
    if rendered["kind"] == "PersistentVolumeClaim":
        return _without_shrinking(rendered, live, may_grow=not mode.is_final)
    if rendered["kind"] == "Deployment" and _must_scale_down_first(rendered, live):
        return _with_spec(rendered, replicas=0, strategy=live["spec"]["strategy"])
    return rendered


def requested_storage(claim: Manifest) -> str:
    """Return the size that a PersistentVolumeClaim requests, as a Kubernetes quantity."""
    size: str = claim["spec"]["resources"]["requests"]["storage"]
    return size


def _drifted_metadata(want: Manifest, have: Manifest) -> list[str]:
    paths = [f"metadata.labels.{name}" for name in _foreign_labels(want, have)]
    for field in ("labels", "annotations"):
        if field in want:
            paths += _prefixed(f"metadata.{field}", _compare_mappings(want[field], have.get(field, {}), field))
    owners = {owner.get("uid"): owner for owner in have.get("ownerReferences", ())}
    if any(_compare(owner, owners.get(owner["uid"], _MISSING), "") for owner in want["ownerReferences"]):
        paths.append("metadata.ownerReferences")
    return paths


def _foreign_labels(want: Manifest, have: Manifest) -> Iterator[str]:
    """Yield the labels with a name of the operator that were not rendered."""
    return (name for name in have.get("labels", ()) if name in OWN_LABELS and name not in want["labels"])


def _compare(want: Any, have: Any, field: str) -> list[str]:
    """Return the drifted paths relative to this value, each with its leading separator."""
    if want == have:
        return _NO_PATHS
    if isinstance(want, dict) and isinstance(have, dict):
        return _compare_mappings(want, have, field)
    if isinstance(want, list) and isinstance(have, list):
        return _compare_by_key(want, have, field) if field in _KEYED_LISTS else _compare_in_order(want, have, field)
    return _NO_PATHS if field in _QUANTITIES and _quantity_matches(want, have, field) else [""]


def _compare_mappings(want: Manifest, have: Manifest, field: str) -> list[str]:
    paths: list[str] = []
    for name, value in want.items():
        if value != (live_value := have.get(name, _MISSING)):
            paths += _prefixed(f".{name}", _compare(value, live_value, name))
    return paths + [f".{name}" for name in _foreign_fields(want, have, field)]


def _foreign_fields(want: Manifest, have: Manifest, field: str) -> list[str]:
    """Return the subfields that another field manager added although it may not."""
    if (defaulted := _EXCLUSIVE_FIELDS.get(field)) is not None:
        return [name for name in have if name not in want and name not in defaulted]
    return [name for name in _FORBIDDEN_FIELDS.get(field, ()) if name in have and name not in want]


def _compare_in_order(want: list[Any], have: list[Any], field: str) -> list[str]:
    if len(want) != len(have):
        return [""]
    paths: list[str] = []
    for index, (entry, live_entry) in enumerate(zip(want, have, strict=True)):
        paths += _prefixed(f"[{index}]", _compare(entry, live_entry, field))
    return paths


def _compare_by_key(want: list[Any], have: list[Any], field: str) -> list[str]:
    key = _KEYED_LISTS[field]
    live_entries = {key(entry): entry for entry in have}
    paths: list[str] = [""] if len(live_entries) < len(have) else []
    for entry in want:
        name = key(entry)
        if entry != (live_entry := live_entries.pop(name, _MISSING)):
            paths += _prefixed(f"[{name}]", _compare(entry, live_entry, f"{field}[]"))
    return paths + [f"[{name}]" for name in live_entries]


def _quantity_matches(want: Any, have: Any, field: str) -> bool:
    """Whether a live quantity needs no change. A larger claim needs none, because a claim cannot shrink."""
    try:
        wanted, live_value = nanos(str(want)), nanos(str(have))
    except ValueError:
        return False
    return live_value >= wanted if field == "storage" else live_value == wanted


def _prefixed(prefix: str, paths: list[str]) -> list[str]:
    return [prefix + path for path in paths]


def _label_removals(rendered: Manifest, live: Manifest) -> Iterator[dict[str, Any]]:
    for name in _foreign_labels(rendered["metadata"], live["metadata"]):
        yield _operation("remove", f"/metadata/labels/{_escaped(name)}")


def _removals(want: Any, have: Any, field: str, pointer: str) -> Iterator[dict[str, Any]]:
    """Yield the operations that remove foreign fields at and below a JSON pointer."""
    if isinstance(want, dict) and isinstance(have, dict):
        foreign = _foreign_fields(want, have, field)
        if foreign and field in _REPLACED_AS_UNIT:
            yield _operation("replace", pointer, want)
            return
        for name, value in want.items():
            yield from _removals(value, have.get(name), name, f"{pointer}/{_escaped(name)}")
        yield from (_operation("remove", f"{pointer}/{_escaped(name)}") for name in foreign)
    elif isinstance(want, list) and isinstance(have, list) and field in _KEYED_LISTS:
        yield from _entry_removals(want, have, field, pointer)


def _entry_removals(want: list[Any], have: list[Any], field: str, pointer: str) -> Iterator[dict[str, Any]]:
    """Yield the operations that remove foreign and duplicate entries, and foreign fields of the other entries.

    The last entry comes first, so that a removal does not change the index of the entries that follow in the patch.
    """
    rendered_entries = {_KEYED_LISTS[field](entry): entry for entry in want}
    for index, entry in reversed(list(enumerate(have))):
        rendered_entry = rendered_entries.pop(_KEYED_LISTS[field](entry), None)
        if rendered_entry is None:
            yield _operation("remove", f"{pointer}/{index}")
        else:
            yield from _removals(rendered_entry, entry, f"{field}[]", f"{pointer}/{index}")


def _operation(kind: str, path: str, *value: Any) -> dict[str, Any]:
    return {"op": kind, "path": path, **({"value": value[0]} if value else {})}


def _escaped(name: str) -> str:
    """Return a field name escaped for a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _without_shrinking(claim: Manifest, live: Manifest, *, may_grow: bool) -> Manifest:
    """Return the claim with at least its live size, because the API server rejects a claim that shrinks."""
    wanted, live_size = requested_storage(claim), requested_storage(live)
    grows = may_grow and nanos(wanted) > nanos(live_size)
    return claim if grows else _with_spec(claim, resources={"requests": {"storage": live_size}})


def _must_scale_down_first(deployment: Manifest, live: Manifest) -> bool:
    """Whether a Deployment in the middle of a rollout must scale to zero before it changes to Recreate.

    A single write that scales and changes the strategy would leave the old pods running. The Deployment controller
    handles scaling first, and with several active ReplicaSets it scales only those of a RollingUpdate.
    """
    becomes_recreate = deployment["spec"]["strategy"]["type"] == "Recreate" != live["spec"]["strategy"]["type"]
    status = live.get("status", {})
    is_observed = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
    is_complete = is_observed and status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return becomes_recreate and not is_complete


def _with_spec(rendered: Manifest, **spec: Any) -> Manifest:
    return {**rendered, "spec": {**rendered["spec"], **spec}}
