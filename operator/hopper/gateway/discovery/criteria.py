"""Criteria for a search for instances."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from hopper.api.enums import InstanceType, Phase, Scope
from hopper.api.instance import HopperInstance
from hopper.registry.facets import Facet, capabilities_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Criteria that an instance must meet, all at once. A criterion that is None or empty matches every instance.

    `parent` and `ancestor` are instance names. `name` is a shell pattern (`*`, `?`, `[…]`). An instance needs one of
    `phases`, and all of `capabilities` and `labels`. `can_parent` selects instances that may have one more child of
    that scope. `healthy` selects healthy instances if true, and instances in trouble (`Health.is_trouble`) if false.
    Inactive instances are neither.
    """

    scope: Scope | None = None
    phases: Collection[Phase] = ()
    type: InstanceType | None = None
    parent: str | None = None
    ancestor: str | None = None
    template: str | None = None
    capabilities: Collection[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    can_parent: Scope | None = None
    healthy: bool | None = None

    def match(self, instance: HopperInstance) -> bool:
        """Whether an instance meets the criteria that need only the object: not `ancestor`, `can_parent`, `healthy`."""
        spec = instance.spec
        return (
            (self.scope is None or spec.scope is self.scope)
            and (not self.phases or instance.status.phase in self.phases)
            and (self.type is None or spec.effective_type is self.type)
            and (self.parent is None or instance.parent_name == self.parent)
            and (self.template is None or (spec.template_ref is not None and spec.template_ref.name == self.template))
            and (not self.capabilities or set(self.capabilities) <= set(capabilities_of(instance)))
            and (not self.labels or self.labels.items() <= (instance.metadata.labels or {}).items())
            and (self.name is None or fnmatchcase(instance.name, self.name))
        )

    def facet_groups(self) -> Iterator[tuple[Facet, ...]]:
        """Yield one group of alternative facets (OR) per criterion that `NamespaceIndex.having` can look up."""
        if self.scope is not None:
            yield (("scope", self.scope),)
        if self.phases:
            yield tuple(("phase", phase) for phase in self.phases)
        if self.type is not None:
            yield (("type", self.type),)
        for capability in self.capabilities:
            yield (("capability", capability),)
        for label, value in self.labels.items():
            yield (("label", f"{label}={value}"),)
        if self.parent is not None:
            yield (("parent", self.parent),)
        if self.template is not None:
            yield (("template", self.template),)
