"""Names and labels of the objects of an instance."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from hopper.api.enums import Scope
from hopper.api.instance import HopperInstance
from hopper.api.names import (
    DEFAULT_PREFIX,
    LABEL_APP_COMPONENT,
    LABEL_APP_INSTANCE,
    LABEL_APP_NAME,
    LABEL_APP_PART_OF,
    LABEL_INSTANCE,
    LABEL_MANAGED_BY,
    MANAGED_BY,
    is_reserved_object_name,
)
from hopper.domain.hierarchy import parent_link
from hopper.domain.tree import Tree

MAX_LABEL = 63
_HASH_LENGTH = 8
_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ObjectNames:
    """Names and labels of the objects of one instance.

    `base` is the name of the Deployment, Service, ConfigMap, Secret and Ingress.
    `claims` is the name prefix of the PersistentVolumeClaims: `base`, unless the instance was renamed.
    `selector` selects the pods and never changes. It has only labels with the prefix `hopper.dev/`, and no other labels
    select pods. `labels` are on every object and on the pods. Their `app.kubernetes.io/instance` is `base`: with the
    name of the instance, the Service of a Helm release of that name could select the pods.
    """

    base: str
    claims: str
    namespace: str
    selector: dict[str, str]
    labels: dict[str, str]

    def claim(self, volume: str) -> str:
        """Return the name of the PersistentVolumeClaim for a volume, given its source or its target."""
        return shorten_name(f"{self.claims}-{slug(volume)}")


@dataclass(frozen=True, slots=True)
class NameConflicts:
    """Search for other instances whose objects would have the same base name.

    `reserved` returns a base name given to an instance whose `status.workloadName` is not written yet, or None.
    """

    tree: Tree
    reserved: Callable[[HopperInstance], str | None] = lambda _: None

    def given_name(self, instance: HopperInstance) -> str | None:
        """Return the base name that the instance already has, None if it has none yet."""
        return instance.status.workload_name or self.reserved(instance)

    def find(self, name: str, base: str, project: str | None, prefix: str) -> Iterator[HopperInstance]:
        """Yield the other instances with the base name `base`.

        `base` is the base name of the instance `name` below `project`. Different instances can have the same base name:
        `worker` and `web-worker` below the project `web`, or `b` below `a-x` and `x-b` below `a`. The name of every
        such instance is a suffix of `<project>-<name>`, so looking up these suffixes finds them all.
        """
        words = f"{project or ''}-{name}".split("-")
        for start in range(len(words)):
            other = self.tree.get("-".join(words[start:]))
            if other is None or other.name == name or other.spec.template_ref is None:
                continue
            other_project = nearest_project(parent_link(other, self.tree).ancestors)
            if base == (self.given_name(other) or base_name(prefix, other_project, other.name)):
                yield other

    def precedence(self, instance: HopperInstance, base: str) -> tuple[bool, object, str]:
        """Return a sort key: the instance that already has the name `base` comes first, then the oldest."""
        return (self.given_name(instance) != base, instance.metadata.creation_timestamp, instance.name)


def name_objects(
    instance: HopperInstance,
    ancestors: Sequence[HopperInstance],
    template: str,
    prefix: str = DEFAULT_PREFIX,
    conflicts: NameConflicts | None = None,
) -> ObjectNames:
    """Return the names for an instance with these ancestors (nearest first) and this template.

    The base name in `status.workloadName` is kept for good: with a new name after a change of parent or prefix, the
    instance would start with new, empty volumes. If another instance takes precedence for the base name, this instance
    gets a name with a hash. Without `conflicts`, other instances are not considered.
    """
    project = nearest_project(ancestors)
    base = instance.status.workload_name or base_name(prefix, project, instance.name)
    if conflicts is not None:
        others = conflicts.find(instance.name, base, project, prefix)
        if any(conflicts.precedence(other, base) < conflicts.precedence(instance, base) for other in others):
            base = _with_hash(base, instance.name)
    selector = pod_selector(instance.name)
    labels = selector | {
        LABEL_APP_NAME: shorten_name(template),
        LABEL_APP_INSTANCE: base,
        LABEL_APP_COMPONENT: instance.spec.scope.lower(),
        LABEL_MANAGED_BY: MANAGED_BY,
    }
    part_of = {LABEL_APP_PART_OF: project} if project is not None else {}
    return ObjectNames(base, claim_prefix(instance) or base, instance.namespace, selector, labels | part_of)


def claim_prefix(instance: HopperInstance) -> str | None:
    """Return the name prefix of the claims of a renamed instance, None if the instance was not renamed."""
    renamed = instance.spec.renamed_from
    return instance.status.claim_prefix or (renamed.claim_prefix if renamed else None)


def pod_selector(instance_name: str) -> dict[str, str]:
    """Return the labels that select the pods of an instance."""
    return {LABEL_INSTANCE: instance_name}


def nearest_project(ancestors: Sequence[HopperInstance]) -> str | None:
    """Return the name of the nearest ancestor of scope Project, None if there is none."""
    return next((ancestor.name for ancestor in ancestors if ancestor.spec.scope is Scope.PROJECT), None)


def base_name(prefix: str, project: str | None, instance: str) -> str:
    """Return `{prefix}-{project}-{instance}` as a DNS label.

    The project is left out if there is none, or if the instance name already begins with it. A Service
    needs a DNS label, so any other name is changed into a label and gets a hash of the original. So does a name that
    Hopper uses for objects of its own.
    """
    parts = [prefix, instance]
    if project is not None and not instance.startswith(f"{project}-"):
        parts.insert(1, project)
    full_name = "-".join(parts)
    if is_reserved_object_name(full_name):
        return _with_hash(f"instance-{full_name}", full_name)
    if _DNS_LABEL.fullmatch(full_name):
        return shorten_name(full_name)
    label = re.sub("[^a-z0-9]+", "-", full_name.lower()).strip("-")
    return _with_hash(label if label[:1].isalpha() else f"{DEFAULT_PREFIX}-{label}".rstrip("-"), full_name)


def shorten_name(name: str) -> str:
    """Return the name. If it is longer than a label may be, return its beginning with a hash of the whole name."""
    return name if len(name) <= MAX_LABEL else _with_hash(name, name)


def slug(text: str) -> str:
    """Return a path or volume name as part of an object name. Different texts can have the same slug."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-") or "root"


def unique_label(text: str) -> str:
    """Return a DNS label for a path. Different paths have different labels."""
    is_plain = re.fullmatch(r"/?[a-z0-9]+(/[a-z0-9]+)*", text) and len(text) <= MAX_LABEL - 1 - _HASH_LENGTH
    return slug(text) if is_plain else _with_hash(slug(text), text)


def short_hash(text: str) -> str:
    """Return eight hexadecimal digits of the SHA-256 hash of a text."""
    return sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


def _with_hash(label: str, hashed: str) -> str:
    """Return the label, shortened to make room, with a hash of `hashed` appended."""
    return f"{label[: MAX_LABEL - 1 - _HASH_LENGTH].rstrip('-')}-{short_hash(hashed)}"
