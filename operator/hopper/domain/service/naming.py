"""What the rendered objects are called, and the labels by which they and their pods are found."""

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
)
from hopper.domain.hierarchy import parent_link
from hopper.domain.tree import Tree

MAX_LABEL = 63
_HASH = 8
_PLAIN = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ObjectNames:
    """The names of everything that belongs to one instance.

    `base` is the name of the Deployment, Service, ConfigMap, Secret and Ingress. `claims` is what the names of its
    claims begin with: the same, unless the instance has been renamed. `labels` are on every object. `pod_labels` are
    those of them that a move within the hierarchy leaves alone, as it must not restart anything; `selector`, which
    finds the pods, never changes at all.
    """

    base: str
    claims: str
    namespace: str
    selector: dict[str, str]
    pod_labels: dict[str, str]
    labels: dict[str, str]

    def claim(self, volume: str) -> str:
        """Return the name of the PersistentVolumeClaim for a volume of that name (or at that target)."""
        return shortened(f"{self.claims}-{slug(volume)}")


@dataclass(frozen=True, slots=True)
class Namesakes:
    """Who else there is, and what they are called.

    `given` tells of an instance without `status.workloadName` whether it has got a name already: its status may be on
    its way. So of two instances whose names lead to the same one, the first to ask has it.
    """

    tree: Tree
    given: Callable[[HopperInstance], str | None] = lambda _: None

    def name_of(self, instance: HopperInstance) -> str | None:
        """Return the name that the instance bears."""
        return instance.status.workload_name or self.given(instance)

    def find(self, name: str, base: str, project: str | None, prefix: str) -> Iterator[HopperInstance]:
        """Yield the others whose objects would be called `base`, as those of the instance of this name below `project`.

        `worker` and `web-worker` below the project `web` are namesakes, `b` below `a-x` and `x-b` below `a` as well:
        the name of each ends what the other's name and project make together. So a few look-ups find them all.
        """
        words = f"{project or ''}-{name}".split("-")
        for start in range(len(words)):
            other = self.tree.get("-".join(words[start:]))
            if other is None or other.name == name or other.spec.template_ref is None:
                continue
            theirs = base_name(prefix, nearest_project(parent_link(other, self.tree).ancestors), other.name)
            if base == (self.name_of(other) or theirs):
                yield other

    def seniority(self, instance: HopperInstance, base: str) -> tuple[bool, object, str]:
        """Rank those who might be called `base`: who bears the name already comes first, then who is older."""
        return (self.name_of(instance) != base, instance.metadata.creation_timestamp, instance.name)


def names_of(
    instance: HopperInstance,
    ancestors: Sequence[HopperInstance],
    template: str,
    prefix: str = DEFAULT_PREFIX,
    namesakes: Namesakes | None = None,
) -> ObjectNames:
    """Name what belongs to an instance whose ancestors are given nearest first, and which runs that template.

    The name given first, kept in `status.workloadName`, stays for good: under a new parent or prefix, an instance would
    otherwise start over with new and empty volumes. Where a namesake has a right to the same name, this one gets a
    different one; without `namesakes`, nobody is asked.
    """
    project = nearest_project(ancestors)
    base = instance.status.workload_name or base_name(prefix, project, instance.name)
    if namesakes is not None:
        others = namesakes.find(instance.name, base, project, prefix)
        if any(namesakes.seniority(it, base) < namesakes.seniority(instance, base) for it in others):
            base = _hashed(base, instance.name)
    selector = selector_of(instance.name)
    pod_labels = selector | {
        LABEL_APP_NAME: shortened(template),
        LABEL_APP_INSTANCE: instance.name,
        LABEL_APP_COMPONENT: instance.spec.scope.lower(),
        LABEL_MANAGED_BY: MANAGED_BY,
    }
    part_of = {LABEL_APP_PART_OF: project} if project is not None else {}
    labels = pod_labels | part_of
    return ObjectNames(base, claim_prefix(instance) or base, instance.namespace, selector, pod_labels, labels)


def claim_prefix(instance: HopperInstance) -> str | None:
    """Return what the names of its claims begin with, if that comes from an earlier name of the instance."""
    renamed = instance.spec.renamed_from
    return instance.status.claim_prefix or (renamed.claim_prefix if renamed else None)


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
