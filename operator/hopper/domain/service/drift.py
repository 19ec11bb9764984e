"""Whether a live object still is what was rendered.

Asked at every reconcile, so that nothing is written when nothing differs. What the API server or others add in places
of their own does not count: defaults, allocated fields, annotations, finalizers. What is ours is compared: every value
that was rendered, and what is to hold what we say and nothing else: lists, selectors, data, security settings.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hopper.api.names import OWN_LABELS
from hopper.api.resources import Manifest
from hopper.domain.service.quantity import nanos

_Key = Callable[[Mapping[str, Any]], str]
_MISSING: Any = object()
_SAME: list[str] = []


def _by(*fields: str) -> _Key:
    return lambda entry: "/".join(str(entry[field]) for field in fields if field in entry)


# Lists that server-side apply merges by a key, so that others may add entries.
_KEYS: dict[str, _Key] = {
    "containers": _by("name"),
    "env": _by("name"),
    "volumes": _by("name"),
    "volumeMounts": _by("mountPath"),
    "ports": _by("containerPort", "port", "protocol"),
}
# What the API server fills with defaults, by the place; anything else that was not rendered was put there by somebody.
# Entries of a list have a place of their own.
_DEFAULTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("data", "selector", "matchLabels", "strategy", "securityContext", "capabilities"), frozenset()),
    **dict.fromkeys(("env[]", "volumes[]", "volumeMounts[]"), frozenset()),
    "containers[]": frozenset({"imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy", "resources"}),
}
# Of places where others have a say (a node selector, tolerations, …), what is not theirs to add.
_REFUSED: dict[str, tuple[str, ...]] = {
    "spec": (
        *("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "serviceAccountName", "serviceAccount"),
        *("initContainers", "externalIPs", "paused"),  # kubectl rollout pause: no change would ever reach the pods
    ),
    "ports[]": ("hostPort", "hostIP"),
    **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe"), ("httpGet", "tcpSocket", "grpc")),
}
# Where one field excludes another. Taken away field by field, defaults would come in their place, or nothing be left.
_WHOLE = frozenset({"strategy", "env[]", "volumes[]", "livenessProbe", "readinessProbe", "startupProbe"})
_QUANTITIES = frozenset({"cpu", "memory", "storage", "sizeLimit"})
_IDENTITY = frozenset({"apiVersion", "kind", "metadata"})


def differs(rendered: Manifest, live: Manifest) -> tuple[str, ...]:
    """Return the paths at which the live object is not as rendered, such as `spec.replicas`. Never a value."""
    found = _metadata(rendered["metadata"], live["metadata"])
    for field, want in rendered.items():
        if field not in _IDENTITY and want != (have := live.get(field, _MISSING)):
            found += _prefixed(field, _compare(want, have, field))
    return tuple(found)


def removals(rendered: Manifest, live: Manifest) -> list[dict[str, Any]]:
    """Return a JSON patch that takes away what others have added to what is ours; empty where there is nothing.

    Server-side apply leaves alone what belongs to another field manager, and is refused where that excludes what we
    say: two sources of one volume, a value and a reference. So this is for the object as it is after it was applied, or
    after that was refused. The patch fails with a conflict when the object has changed since.
    """
    operations = list(_labels_to_remove(rendered, live))
    for field, want in rendered.items():
        if field not in _IDENTITY:
            operations += _operations(want, live.get(field), field, f"/{field}")
    if not operations:
        return []
    return [_operation("replace", "/metadata/resourceVersion", live["metadata"]["resourceVersion"]), *operations]


def _metadata(want: Manifest, have: Manifest) -> list[str]:
    found = [f"metadata.labels.{name}" for name in _foreign_labels(want, have)]
    for field in ("labels", "annotations"):
        if field in want:
            found += _prefixed(f"metadata.{field}", _mapping(want[field], have.get(field, {}), field))
    owners = {owner.get("uid"): owner for owner in have.get("ownerReferences", ())}
    if any(_compare(owner, owners.get(owner["uid"], _MISSING), "") for owner in want["ownerReferences"]):
        found.append("metadata.ownerReferences")
    return found


def _foreign_labels(want: Manifest, have: Manifest) -> Iterator[str]:
    """Yield the labels that only the operator sets, and has not set."""
    return (name for name in have.get("labels", ()) if name in OWN_LABELS and name not in want["labels"])


def _compare(want: Any, have: Any, field: str) -> list[str]:
    """Return the differing paths relative to this value, each with its leading separator."""
    if want == have:
        return _SAME
    if isinstance(want, dict) and isinstance(have, dict):
        return _mapping(want, have, field)
    if isinstance(want, list) and isinstance(have, list):
        return _keyed(want, have, field) if field in _KEYS else _atomic(want, have, field)
    return _SAME if field in _QUANTITIES and _equal_quantities(want, have, field) else [""]


def _mapping(want: Manifest, have: Manifest, field: str) -> list[str]:
    found: list[str] = []
    for name, value in want.items():
        if value != (there := have.get(name, _MISSING)):
            found += _prefixed(f".{name}", _compare(value, there, name))
    return found + [f".{name}" for name in _foreign(want, have, field)]


def _foreign(want: Manifest, have: Manifest, field: str) -> list[str]:
    """Return the fields that somebody has put into a place that is ours."""
    if (defaults := _DEFAULTS.get(field)) is not None:
        return [name for name in have if name not in want and name not in defaults]
    return [name for name in _REFUSED.get(field, ()) if name in have and name not in want]


def _atomic(want: list[Any], have: list[Any], field: str) -> list[str]:
    if len(want) != len(have):
        return [""]
    pairs = enumerate(zip(want, have, strict=True))
    return [path for index, (one, other) in pairs for path in _prefixed(f"[{index}]", _compare(one, other, field))]


def _keyed(want: list[Any], have: list[Any], field: str) -> list[str]:
    key = _KEYS[field]
    there = {key(entry): entry for entry in have}
    found: list[str] = [""] if len(there) < len(have) else []
    for entry in want:
        name = key(entry)
        if entry != (other := there.pop(name, _MISSING)):
            found += _prefixed(f"[{name}]", _compare(entry, other, f"{field}[]"))
    return found + [f"[{name}]" for name in there]


def _equal_quantities(want: Any, have: Any, field: str) -> bool:
    """Compare by value. A claim that has been made larger stays as it is: it cannot shrink again."""
    try:
        wanted, there = nanos(str(want)), nanos(str(have))
    except ValueError:
        return False
    return there >= wanted if field == "storage" else there == wanted


def _prefixed(prefix: str, paths: list[str]) -> list[str]:
    return [prefix + path for path in paths]


def _labels_to_remove(rendered: Manifest, live: Manifest) -> Iterator[dict[str, Any]]:
    for name in _foreign_labels(rendered["metadata"], live["metadata"]):
        yield _operation("remove", f"/metadata/labels/{_escaped(name)}")


def _operations(want: Any, have: Any, field: str, pointer: str) -> Iterator[dict[str, Any]]:
    """Yield what takes away everything below a value that was not rendered."""
    if isinstance(want, dict) and isinstance(have, dict):
        foreign = _foreign(want, have, field)
        if foreign and field in _WHOLE:
            yield _operation("replace", pointer, want)
            return
        for name, value in want.items():
            yield from _operations(value, have.get(name), name, f"{pointer}/{_escaped(name)}")
        yield from (_operation("remove", f"{pointer}/{_escaped(name)}") for name in foreign)
    elif isinstance(want, list) and isinstance(have, list) and field in _KEYS:
        yield from _entry_operations(want, have, field, pointer)


def _entry_operations(want: list[Any], have: list[Any], field: str, pointer: str) -> Iterator[dict[str, Any]]:
    """Take away foreign entries and repeated ones, later entries before earlier ones; put right those of two minds."""
    ours = {_KEYS[field](entry): entry for entry in want}
    for index, entry in reversed(list(enumerate(have))):
        own = ours.pop(_KEYS[field](entry), None)
        if own is None:
            yield _operation("remove", f"{pointer}/{index}")
        else:
            yield from _operations(own, entry, f"{field}[]", f"{pointer}/{index}")


def _operation(kind: str, path: str, *value: Any) -> dict[str, Any]:
    return {"op": kind, "path": path, **({"value": value[0]} if value else {})}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
