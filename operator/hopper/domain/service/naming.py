"""What the rendered objects are called, and the labels by which they and their pods are found."""

import re
from collections.abc import Iterator, Sequence
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
)
from hopper.domain.hierarchy import Tree, judge

MAX_LABEL = 63
_HASH = 8
_PLAIN = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Names:
    """The names of everything that belongs to one instance.

    `base` is the name of the Deployment, Service, ConfigMap, Secret and Ingress; claims append to it. `labels` are on
    every object. `pod_labels` are those of them that a move within the hierarchy leaves alone, as it must not restart
    anything; `selector`, which finds the pods, never changes at all.
    """

    base: str
    namespace: str
    selector: dict[str, str]
    pod_labels: dict[str, str]
    labels: dict[str, str]

    def claim(self, volume: str) -> str:
        """Return the name of the PersistentVolumeClaim for a volume of that name (or at that target)."""
        return shortened(f"{self.base}-{slug(volume)}")


def names_of(
    instance: HopperInstance,
    ancestors: Sequence[HopperInstance],
    template: str,
    prefix: str = DEFAULT_PREFIX,
    tree: Tree | None = None,
) -> Names:
    """Name what belongs to an instance whose ancestors are given nearest first, and which runs that template.

    The name given first, kept in `status.workloadName`, stays for good: under a new parent or prefix, an instance would
    otherwise start over with new and empty volumes. Where another instance in `tree` has a right to the same name, this
    one gets a different name.
    """
    project = nearest_project(ancestors)
    base = instance.status.workload_name or base_name(prefix, project, instance.name)
    if tree is not None and any(
        _comes_first(it, instance, base) for it in _namesakes(instance.name, base, project, prefix, tree)
    ):
        base = _hashed(base, instance.name)
    selector = selector_of(instance.name)
    pod_labels = selector | {
        LABEL_APP_NAME: shortened(template),
        LABEL_APP_INSTANCE: instance.name,
        LABEL_APP_COMPONENT: instance.spec.scope.lower(),
        LABEL_MANAGED_BY: MANAGED_BY,
    }
    part_of = {LABEL_APP_PART_OF: project} if project is not None else {}
    return Names(base, instance.namespace, selector, pod_labels, pod_labels | part_of)


def _namesakes(name: str, base: str, project: str | None, prefix: str, tree: Tree) -> Iterator[HopperInstance]:
    """Yield the others whose objects would be called the same.

    `worker` and `web-worker` below the project `web` are two of them, `b` below `a-x` and `x-b` below `a` as well: the
    name of each ends what the other's name and project make together. So a few look-ups find them all.
    """
    words = f"{project or ''}-{name}".split("-")
    for start in range(len(words)):
        other = tree.get("-".join(words[start:]))
        if other is None or other.name == name or other.spec.template_ref is None:
            continue
        theirs = base_name(prefix, nearest_project(judge(other, tree).ancestors), other.name)
        if base == (other.status.workload_name or theirs):
            yield other


def _comes_first(other: HopperInstance, instance: HopperInstance, base: str) -> bool:
    """Tell whether the other one has the name: because it alone bears it already, or else because it is older."""

    def seniority(one: HopperInstance) -> tuple[bool, object, str]:
        return (one.status.workload_name != base, one.metadata.creation_timestamp, one.name)

    return seniority(other) < seniority(instance)


def selector_of(name: str) -> dict[str, str]:
    """Return the labels by which the pods of an instance are found."""
    return {LABEL_INSTANCE: name}


def nearest_project(ancestors: Sequence[HopperInstance]) -> str | None:
    """Return the name of the nearest Project above, None without one."""
    return next((above.name for above in ancestors if above.spec.scope is Scope.PROJECT), None)


def base_name(prefix: str, project: str | None, instance: str) -> str:
    """Return `{prefix}-{project}-{instance}`: the project only where there is one, and never twice.

    The answer is a DNS label, as a Service must have. What had to be changed for that carries a hash of what it was.
    """
    parts = [prefix, instance]
    if project is not None and not instance.startswith(f"{project}-"):
        parts.insert(1, project)
    wanted = "-".join(parts)
    if _PLAIN.fullmatch(wanted):
        return shortened(wanted)
    label = re.sub("[^a-z0-9]+", "-", wanted.lower()).strip("-")
    return _hashed(label if label[:1].isalpha() else f"{DEFAULT_PREFIX}-{label}".rstrip("-"), wanted)


def shortened(name: str) -> str:
    """Return the name itself, or, where it is too long for a label, its beginning and a hash of all of it."""
    return name if len(name) <= MAX_LABEL else _hashed(name, name)


def slug(text: str) -> str:
    """Return the part of a name that stands for a path or a volume's name. Different texts may share one."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-") or "root"


def distinct(text: str) -> str:
    """Return a DNS label that stands for a path and for no other path."""
    plain = re.fullmatch(r"/?[a-z0-9]+(/[a-z0-9]+)*", text) and len(text) <= MAX_LABEL - 1 - _HASH
    return slug(text) if plain else _hashed(slug(text), text)


def short_hash(text: str) -> str:
    """Return eight hexadecimal digits that stand for a text."""
    return sha256(text.encode()).hexdigest()[:_HASH]


def _hashed(label: str, origin: str) -> str:
    return f"{label[: MAX_LABEL - 1 - _HASH].rstrip('-')}-{short_hash(origin)}"
