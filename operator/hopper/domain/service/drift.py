"""Whether a live object still is what was rendered.

Asked at every reconcile, so that nothing is written when nothing differs. What the API server or others add in places
of their own does not count: defaults, allocated fields, annotations, finalizers. What is ours is compared: every value
that was rendered, and the entries of lists and selectors that are to hold what we say and nothing else.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hopper.api.names import OWN_LABELS
from hopper.domain.service.quantity import nanos

Manifest = Mapping[str, Any]
_Key = Callable[[Mapping[str, Any]], str]
_MISSING: Any = object()
_SAME: list[str] = []


def _by(*fields: str) -> _Key:
    return lambda entry: "/".join(str(entry[field]) for field in fields if field in entry)


# Lists that server-side apply merges by a key, so that others may add entries.
_KEYS: dict[str, _Key] = {
    "containers": _by("name"),
    "initContainers": _by("name"),
    "env": _by("name"),
    "volumes": _by("name"),
    "volumeMounts": _by("mountPath"),
    "ports": _by("containerPort", "port", "protocol"),
}
# Entries of these lists get no defaults: a field that was not rendered was put there by somebody.
_CLOSED = frozenset({"env", "volumes", "volumeMounts"})
# Mappings that are ours as a whole.
_EXACT = frozenset({"data", "selector", "matchLabels"})
_QUANTITIES = frozenset({"cpu", "memory", "storage", "sizeLimit"})
_IDENTITY = ("apiVersion", "kind", "metadata")


def differs(rendered: Manifest, live: Manifest) -> tuple[str, ...]:
    """Return the paths at which the live object is not as rendered, such as `spec.replicas`. Never a value."""
    found = _metadata(rendered["metadata"], live["metadata"])
    for field, want in rendered.items():
        if field not in _IDENTITY and want != (have := live.get(field, _MISSING)):
            found = found + _prefixed(field, _compare(want, have, field))
    return tuple(found)


def removals(rendered: Manifest, live: Manifest) -> list[dict[str, Any]]:
    """Return a JSON patch that takes away what others have added to lists that are ours; empty where there is nothing.

    Server-side apply leaves these alone, as they belong to another field manager. So this is for the object that has
    just been applied. The patch fails with a conflict when the object has changed since.
    """
    paths = [path for field, want in rendered.items() for path in _extra(want, live.get(field), field, f"/{field}")]
    if not paths:
        return []
    version = {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]}
    return [version, *({"op": "remove", "path": path} for path in paths)]


def _metadata(want: Manifest, have: Manifest) -> list[str]:
    labels = have.get("labels", {})
    found = [f"metadata.labels.{name}" for name in labels if name in OWN_LABELS and name not in want["labels"]]
    for field in ("labels", "annotations"):
        if field in want:
            found += _prefixed(f"metadata.{field}", _mapping(want[field], have.get(field, {}), field))
    owners = {owner.get("uid"): owner for owner in have.get("ownerReferences", ())}
    if any(_compare(owner, owners.get(owner["uid"], _MISSING), "") for owner in want["ownerReferences"]):
        found.append("metadata.ownerReferences")
    return found


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
        if value != (there := have.get(name, _MISSING)) and not (value == "" and there is _MISSING):
            found += _prefixed(f".{name}", _compare(value, there, name))
    if field in _EXACT and len(have) > len(want):
        found += [f".{name}" for name in have if name not in want]
    return found


def _atomic(want: list[Any], have: list[Any], field: str) -> list[str]:
    if len(want) != len(have):
        return [""]
    pairs = enumerate(zip(want, have, strict=True))
    return [path for index, (one, other) in pairs for path in _prefixed(f"[{index}]", _compare(one, other, field))]


def _keyed(want: list[Any], have: list[Any], field: str) -> list[str]:
    key, closed = _KEYS[field], field in _CLOSED
    there = {key(entry): entry for entry in have}
    found: list[str] = []
    for entry in want:
        name = key(entry)
        if entry != (other := there.pop(name, _MISSING)):
            found += _prefixed(f"[{name}]", _compare(entry, other, ""))
            if closed and other is not _MISSING:
                found += [f"[{name}].{added}" for added in other if added not in entry]
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


def _extra(want: Any, have: Any, field: str, pointer: str) -> Iterator[str]:
    """Yield JSON pointers of what is there and was not rendered, later entries of a list before earlier ones."""
    if isinstance(want, dict) and isinstance(have, dict):
        for name, value in want.items():
            yield from _extra(value, have.get(name), name, f"{pointer}/{_escaped(name)}")
        if field in _EXACT:
            yield from (f"{pointer}/{_escaped(name)}" for name in have if name not in want)
    elif field in _KEYS and isinstance(want, list) and isinstance(have, list):
        ours = {_KEYS[field](entry): entry for entry in want}
        for index, entry in reversed(list(enumerate(have))):
            own = ours.get(_KEYS[field](entry))
            if own is None:
                yield f"{pointer}/{index}"
                continue
            yield from _extra(own, entry, "", f"{pointer}/{index}")
            if field in _CLOSED:
                yield from (f"{pointer}/{index}/{_escaped(name)}" for name in entry if name not in own)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
