"""Criteria: what instances are looked for by, in any mix."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from hopper.api.enums import InstanceType, Phase, Scope
from hopper.api.instance import HopperInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """All that are given have to hold; one that is None or empty says nothing.

    `parent` and `ancestor` are names of objects; `name` is a pattern as in a shell (`*`, `?`, `[…]`). `phases` are
    alternatives, `capabilities` and `labels` have to be there all. `can_parent`: may have one more child of that scope.
    `healthy` True: healthy; False: in trouble (`hopper.api.enums.Health`); what is inactive is neither.
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
        """Tell whether an instance fits, as far as the object alone can tell: without ancestors, room and health."""
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


def capabilities_of(instance: HopperInstance) -> tuple[str, ...]:
    """Return what an instance can do; capabilities are not inherited."""
    return (instance.spec.config and instance.spec.config.capabilities) or ()
