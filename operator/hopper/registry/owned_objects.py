"""What the instances own in the cluster: workload objects and pods, as they are, by the instance they belong to."""

from collections.abc import Mapping

from hopper.api.names import INSTANCE_KIND, LABEL_INSTANCE
from hopper.api.resources import Manifest, NamespacedName, ObjectKey
from hopper.registry.domains import DomainIndex

_POD_STATUS = ("phase", "reason", "message", "conditions", "containerStatuses", "initContainerStatuses")
_NO_CHILDREN: Mapping[ObjectKey, Manifest] = {}


class OwnedObjectIndex:
    """The newest known version of each child, without what nothing is derived from; and which `domains` they claim."""

    def __init__(self) -> None:
        self.domains = DomainIndex()
        self._by_owner: dict[NamespacedName, dict[ObjectKey, Manifest]] = {}
        self._owners: dict[str, dict[NamespacedName, str]] = {}  # kind → namespace and name → instance
        self._uids: dict[str, dict[NamespacedName, str]] = {}  # kind → namespace and name → uid

    def of(self, namespace: str, instance: str) -> Mapping[ObjectKey, Manifest]:
        """Return the children of an instance by kind and name."""
        return self._by_owner.get((namespace, instance), _NO_CHILDREN)

    def uids(self, kind: str) -> Mapping[NamespacedName, str]:
        """Return all known objects of a kind: uids by namespace and name."""
        return self._uids.get(kind, {})

    def put(self, kind: str, raw: Manifest) -> str | None:
        """Take in a version; return the name of the instance it concerns, None where nothing of interest changed."""
        namespace, name, uid = (raw["metadata"][key] for key in ("namespace", "name", "uid"))
        before = self._owners.get(kind, {}).get((namespace, name))
        old = self._by_owner[namespace, before][kind, name] if before else None
        if old and _version(old) >= _version(raw):
            return None
        same = old is not None and old["metadata"]["uid"] == uid
        known = before if same else None
        owner = _label(raw) if kind == "Pod" else _owner(raw) or known or _label(raw)
        if old and not (same and owner == before):
            self.remove(kind, namespace, name, old["metadata"]["uid"])
        if owner is None:
            return before
        new = _trim_pod(raw) if kind == "Pod" else _trim(kind, raw)
        self._by_owner.setdefault((namespace, owner), {})[kind, name] = new
        self._owners.setdefault(kind, {})[namespace, name] = owner
        self._uids.setdefault(kind, {})[namespace, name] = uid
        if kind == "Ingress":
            self.domains.put(namespace, owner, new)
        return owner if old is None or owner != before or not _same(old, new) else None

    def remove(self, kind: str, namespace: str, name: str, uid: str, version: str | None = None) -> str | None:
        """Take out a child that is gone; return the name of the instance it belonged to.

        With the `version` in which it went: to a watch by label, an object is gone too when it loses the label, and the
        news of that may come in after it has got the label back.
        """
        if self._uids.get(kind, {}).get((namespace, name)) != uid:
            return None
        owner = self._owners[kind][namespace, name]
        siblings = self._by_owner[namespace, owner]
        if version is not None and int(version) < _version(siblings[kind, name]):
            return None
        del self._owners[kind][namespace, name]
        del self._uids[kind][namespace, name]
        del siblings[kind, name]
        if not siblings:
            del self._by_owner[namespace, owner]
        if kind == "Ingress":
            self.domains.put(namespace, owner, None)
        return owner


def _version(raw: Manifest) -> int:
    return int(raw["metadata"]["resourceVersion"])


def _owner(raw: Manifest) -> str | None:
    """Return the name of the instance that owns an object; the one that controls it comes first."""
    owners = [it for it in raw["metadata"].get("ownerReferences", ()) if it["kind"] == INSTANCE_KIND]
    return next((it["name"] for it in sorted(owners, key=lambda it: not it.get("controller"))), None)


def _label(raw: Manifest) -> str | None:
    """Return the name of the instance that a label names: all there is on pods, and on what was stripped of owners."""
    name: str | None = raw["metadata"].get("labels", {}).get(LABEL_INSTANCE)
    return name


def _trim(kind: str, raw: Manifest) -> Manifest:
    metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    kept = {"kind": kind, **raw, "metadata": metadata}
    if kind != "Deployment":
        kept.pop("status", None)
    return kept


def _trim_pod(raw: Manifest) -> Manifest:
    metadata = {key: value for key, value in raw["metadata"].items() if key not in ("managedFields", "ownerReferences")}
    status = {key: value for key, value in raw.get("status", {}).items() if key in _POD_STATUS}
    return {"kind": "Pod", "metadata": metadata, "status": status}


def _same(old: Manifest, new: Manifest) -> bool:
    volatile = {"resourceVersion"}
    before = {key: value for key, value in old["metadata"].items() if key not in volatile}
    after = {key: value for key, value in new["metadata"].items() if key not in volatile}
    return before == after and all(old.get(key) == new.get(key) for key in {*old, *new} - {"metadata"})
