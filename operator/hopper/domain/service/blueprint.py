"""Blueprint of an instance: merged service, object names and rendered files, ready to render."""

from collections.abc import Sequence
from dataclasses import dataclass

from hopper.api.enums import InstanceType, SecurityProfile, VolumeType
from hopper.api.instance import HopperInstance
from hopper.api.names import DEFAULT_PREFIX, LABEL_APP_INSTANCE, LABEL_APP_PART_OF
from hopper.api.service import DomainEntry, VolumeEntry
from hopper.api.template import HopperTemplate, ResourceAmounts, Resources, TemplateSpec
from hopper.domain.service.config_files import ConfigFile, render_files
from hopper.domain.service.merge import EffectiveService, ServiceProblem, merge
from hopper.domain.service.naming import ObjectNames, name_objects
from hopper.domain.service.problems import find_problems, size_problems
from hopper.domain.service.quantity import nanos

NO_LIMITS = ResourceAmounts()


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Input for rendering the objects of an instance. A blueprint with `problems` cannot be rendered.

    `refused_domains` are left out of the Ingress. `checksum_key` is the key of the pods' checksum, from the Secret of
    the instance. `default_limits` apply where the service sets no limit. With `has_pods_of_0_1`, the pods are rendered
    as Hopper 0.1 did.
    """

    instance: HopperInstance
    effective: EffectiveService
    names: ObjectNames
    files: tuple[ConfigFile, ...] = ()
    problems: tuple[ServiceProblem, ...] = ()
    refused_domains: frozenset[str] = frozenset()
    checksum_key: str = ""
    default_limits: ResourceAmounts = NO_LIMITS
    has_pods_of_0_1: bool = False

    @property
    def spec(self) -> TemplateSpec:
        """Spec of the effective service."""
        return self.effective.spec

    @property
    def replicas(self) -> int:
        """Number of pods while the instance is up. A Singleton has at most one."""
        replicas = self.instance.spec.replicas
        return min(replicas, 1) if self.type is InstanceType.SINGLETON else replicas

    @property
    def type(self) -> InstanceType:
        """Effective type of the instance."""
        return self.instance.spec.effective_type

    @property
    def domains(self) -> tuple[DomainEntry, ...]:
        """Domains for the Ingress."""
        return tuple(entry for entry in self.spec.domains if entry.domain not in self.refused_domains)

    @property
    def pod_labels(self) -> dict[str, str]:
        """Labels that the operator sets on the pods."""
        if not self.has_pods_of_0_1:
            return self.names.labels
        labels = self.names.labels | {LABEL_APP_INSTANCE: self.instance.name}
        return {name: value for name, value in labels.items() if name != LABEL_APP_PART_OF}

    @property
    def defaulted_limits(self) -> dict[str, str]:
        """Limits of the container that the service does not set. None is below the request."""
        resources = self.spec.resources or Resources()
        own, requests = resources.limits or ResourceAmounts(), resources.requests or ResourceAmounts()
        defaults, limits = self.default_limits, {}
        for name, limit, request, default in (
            ("cpu", own.cpu, requests.cpu, defaults.cpu),
            ("memory", own.memory, requests.memory, defaults.memory),
        ):
            if limit is None and default is not None and not self.has_pods_of_0_1:
                limits[name] = max(default, request or default, key=nanos)
        return limits

    @property
    def has_secret_values(self) -> bool:
        """Whether the Secret of the instance holds variables or files."""
        return any(entry.secret and entry.value is not None for entry in self.spec.env) or any(
            file.secret and not file.source for file in self.files
        )

    @property
    def claims(self) -> tuple[VolumeEntry, ...]:
        """Volumes whose data outlives the pods, including existing claims (`external`)."""
        keeps_data = self.type is not InstanceType.EPHEMERAL
        return tuple(
            volume
            for volume in self.spec.volumes
            if volume.type is VolumeType.VOLUME and (keeps_data or volume.external)
        )

    @property
    def claim_sizes(self) -> dict[str, str | None]:
        """Requested size of each claim that the instance creates, by claim name.

        Volumes with the same source share a claim.
        """
        created = (volume for volume in self.claims if not volume.external)
        return {self.names.claim(volume.source or volume.target): self.size_of(volume) for volume in created}

    def size_of(self, volume: VolumeEntry) -> str | None:
        """Return the requested size of a volume: the largest size among the volumes of its type and source."""
        source = volume.source or volume.target
        same = (
            other
            for other in self.spec.volumes
            if other.type is volume.type and (other.source or other.target) == source
        )
        return max((other.size for other in same if other.size is not None), key=nanos, default=None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Messages about settings that work, but with a known drawback."""
        warnings = []
        if self.spec.security_profile is SecurityProfile.BASELINE:
            warnings.append(
                "the template sets securityProfile Baseline, so its pods may run as root: "
                "use an image that runs as another user, and remove securityProfile"
            )
        if self.replicas > 1 and self.claims:
            warnings.append(
                f"{self.replicas} replicas share volumes that only one node can mount: "
                "set replicas to 1, or expect pods that cannot be scheduled"
            )
        return tuple(warnings)


def prepare_blueprint(
    instance: HopperInstance,
    ancestors: Sequence[HopperInstance],
    template: HopperTemplate,
    prefix: str = DEFAULT_PREFIX,
    names: ObjectNames | None = None,
) -> Blueprint:
    """Return the blueprint of an instance with these ancestors (nearest first) and this template.

    Problems do not raise: they are in `problems`. Without `names`, the names ignore conflicts with other instances.
    """
    names = names or name_objects(instance, ancestors, template.name, prefix)
    effective = merge(template.spec, instance.spec.overrides)
    if problems := find_problems(effective):
        return Blueprint(instance, effective, names, problems=problems)
    files, problems = render_files(instance, ancestors, effective, names)
    return Blueprint(instance, effective, names, files, (*problems, *size_problems(effective, files)))
