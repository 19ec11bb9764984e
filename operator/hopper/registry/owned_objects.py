"""Index of owned objects: the objects and pods in the cluster that belong to instances."""

from collections.abc import Mapping

from hopper.api.names import INSTANCE_KIND, LABEL_INSTANCE, LABEL_SECRET_VALUES
from hopper.api.resources import Manifest, NamespacedName, ObjectKey
from hopper.registry.domains import DomainIndex

_POD_STATUS = ("phase", "reason", "message", "conditions", "containerStatuses", "initContainerStatuses")
_NO_OBJECTS: Mapping[ObjectKey, Manifest] = {}


class OwnedObjectIndex:
    """The latest version of each owned object, by instance. Unused fields are left out.

    `domains` holds the domains that the Ingresses claim.
    """

    def __init__(self) -> None:
        self.domains = DomainIndex()
        self._by_owner: dict[NamespacedName, dict[ObjectKey, Manifest]] = {}
        self._owners: dict[str, dict[NamespacedName, str]] = {}  # kind → namespace and name → instance
        self._uids: dict[str, dict[NamespacedName, str]] = {}  # kind → namespace and name → uid

    def of(self, namespace: str, instance: str) -> Mapping[ObjectKey, Manifest]:
        """Return the owned objects of an instance by kind and name."""
        return self._by_owner.get((namespace, instance), _NO_OBJECTS)

    def uids(self, kind: str) -> Mapping[NamespacedName, str]:
        """Return the uids of all objects of a kind, by namespace and name."""
        return self._uids.get(kind, {})

    def put(self, kind: str, manifest: Manifest) -> str | None:
        """Store a version of an object; return the name of its instance, or None if no relevant field has changed."""
        namespace, name, uid = (manifest["metadata"][key] for key in ("namespace", "name", "uid"))
        old_owner = self._owners.get(kind, {}).get((namespace, name))
        old = self._by_owner[namespace, old_owner][kind, name] if old_owner else None
        if old and _version(old) >= _version(manifest):
            return None
        is_same_object = old is not None and old["metadata"]["uid"] == uid
        owner = _owner_of(kind, manifest, old_owner if is_same_object else None)
        if old and not (is_same_object and owner == old_owner):
            self.remove(kind, namespace, name, old["metadata"]["uid"])
        if owner is None:
            return old_owner
        new = _trim_pod(manifest) if kind == "Pod" else _trim(kind, manifest)
        self._by_owner.setdefault((namespace, owner), {})[kind, name] = new
        self._owners.setdefault(kind, {})[namespace, name] = owner
        self._uids.setdefault(kind, {})[namespace, name] = uid
        if kind == "Ingress":
            self.domains.put(namespace, owner, new)
        return owner if old is None or owner != old_owner or not _is_equal(old, new) else None

    def remove(self, kind: str, namespace: str, name: str, uid: str, version: str | None = None) -> str | None:
        """Remove a deleted object; return the name of its instance, or None if the object is not in the index.

        `version` is the resourceVersion of the deletion event. A watch with a label selector also sends that event when
        an object loses its label. The event is ignored if the index holds a newer version, which has the label again.
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


def _version(manifest: Manifest) -> int:
    return int(manifest["metadata"]["resourceVersion"])


def _owner_of(kind: str, manifest: Manifest, previous: str | None) -> str | None:
    """Return the name of the instance that an object belongs to.

    Pods have only the label. Another object without ownerReferences still belongs to its previous owner. Secrets that
    the gateway writes belong to no instance here, because the operator renders none of them and must delete none.
    """
    labels = manifest["metadata"].get("labels", {})
    label: str | None = labels.get(LABEL_INSTANCE)
    if kind == "Pod":
        return label
    if LABEL_SECRET_VALUES in labels:
        return None
    return _owner_reference(manifest) or previous or label


def _owner_reference(manifest: Manifest) -> str | None:
    """Return the name of the instance in the ownerReferences; the controlling owner has precedence."""
    references = manifest["metadata"].get("ownerReferences", ())
    instances = [reference for reference in references if reference["kind"] == INSTANCE_KIND]
    return next(
        (reference["name"] for reference in sorted(instances, key=lambda reference: not reference.get("controller"))),
        None,
    )


def _trim(kind: str, manifest: Manifest) -> Manifest:
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    trimmed = {"kind": kind, **manifest, "metadata": metadata}
    if kind != "Deployment":
        trimmed.pop("status", None)
    return trimmed


def _trim_pod(manifest: Manifest) -> Manifest:
    unused = ("managedFields", "ownerReferences")
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in unused}
    status = {key: value for key, value in manifest.get("status", {}).items() if key in _POD_STATUS}
    return {"kind": "Pod", "metadata": metadata, "status": status}


def _is_equal(old: Manifest, new: Manifest) -> bool:
    """Whether two versions are equal except for their resourceVersion."""
    old_metadata, new_metadata = (
        {key: value for key, value in manifest["metadata"].items() if key != "resourceVersion"}
        for manifest in (old, new)
    )
    return old_metadata == new_metadata and all(old.get(key) == new.get(key) for key in {*old, *new} - {"metadata"})
