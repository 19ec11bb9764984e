"""Everything that rendering one instance needs, put together once: merged, named, files rendered, problems known."""

from collections.abc import Sequence
from dataclasses import dataclass

from hopper.api.enums import InstanceType, SecurityProfile, VolumeType
from hopper.api.instance import HopperInstance
from hopper.api.names import DEFAULT_PREFIX
from hopper.api.service import ConfigFileEntry, VolumeEntry
from hopper.api.template import HopperTemplate, TemplateSpec
from hopper.domain.service.files import ConfigFile
from hopper.domain.service.merge import EffectiveService, merge
from hopper.domain.service.naming import ObjectNames, names_of
from hopper.domain.service.problem import ServiceProblem
from hopper.domain.service.problems import problems, size_problems
from hopper.domain.service.quantity import nanos
from hopper.domain.service.text_template import TextError, render_text
from hopper.domain.service.values import Variables, values_of


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What is rendered for an instance. Only one without `problems` can be rendered."""

    instance: HopperInstance
    effective: EffectiveService
    names: ObjectNames
    files: tuple[ConfigFile, ...] = ()
    problems: tuple[ServiceProblem, ...] = ()

    @property
    def spec(self) -> TemplateSpec:
        """The effective service."""
        return self.effective.spec

    @property
    def replicas(self) -> int:
        """How many pods are wanted while it is up. A Singleton has one at most."""
        wanted = self.instance.spec.replicas
        return min(wanted, 1) if self.type is InstanceType.SINGLETON else wanted

    @property
    def type(self) -> InstanceType:
        return self.instance.spec.effective_type

    @property
    def claims(self) -> tuple[VolumeEntry, ...]:
        """The volumes whose data outlives the pods, those that exist already included."""
        keeps = self.type is not InstanceType.EPHEMERAL
        return tuple(v for v in self.spec.volumes if v.type is VolumeType.VOLUME and (keeps or v.external))

    @property
    def claim_sizes(self) -> dict[str, str | None]:
        """The claims of our own by name, with the size asked for. Mounts of the same source share one."""
        own = (volume for volume in self.claims if not volume.external)
        return {self.names.claim(one.source or one.target): self.size_of(one) for one in own}

    def size_of(self, volume: VolumeEntry) -> str | None:
        """Return the size asked for: of mounts of the same source, the largest."""
        source = volume.source or volume.target
        same = (one for one in self.spec.volumes if one.type is volume.type and (one.source or one.target) == source)
        return max((one.size for one in same if one.size is not None), key=nanos, default=None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What runs, but not as well as it might."""
        warnings = []
        if self.spec.security_profile is SecurityProfile.BASELINE:
            warnings.append(
                "the template asks for securityProfile Baseline, so its pods may run as root: "
                "use an image that runs as another user, and remove securityProfile"
            )
        if self.replicas > 1 and self.claims:
            warnings.append(
                f"{self.replicas} replicas share volumes that only one node can mount: "
                "set replicas to 1, or expect pods that cannot be placed"
            )
        return tuple(warnings)


def prepare(
    instance: HopperInstance,
    ancestors: Sequence[HopperInstance],
    template: HopperTemplate,
    prefix: str = DEFAULT_PREFIX,
    names: ObjectNames | None = None,
) -> Blueprint:
    """Put together what an instance runs, whose ancestors are given nearest first. Never raises: see `problems`.

    Without `names`, it is called as if it was alone.
    """
    names = names or names_of(instance, ancestors, template.name, prefix)
    effective = merge(template.spec, instance.spec.overrides)
    if found := problems(effective):
        return Blueprint(instance, effective, names, problems=found)
    files, found = _files(instance, ancestors, effective, names)
    return Blueprint(instance, effective, names, files, (*found, *size_problems(effective, files)))


def _files(
    instance: HopperInstance, ancestors: Sequence[HopperInstance], effective: EffectiveService, names: ObjectNames
) -> tuple[tuple[ConfigFile, ...], tuple[ServiceProblem, ...]]:
    files, found = [], []
    values = values_of(instance, ancestors, effective, names)
    for entry in effective.spec.config_files:
        variables = values["env"] = Variables(effective.spec.env)
        try:
            text = render_text(entry.content, values) if entry.template else entry.content
            files.append(
                ConfigFile(entry.path, text, int(entry.mode, 8), variables.secret_was_read, entry.content_from)
            )
        except TextError as error:
            found.append(_problem(entry, effective, str(error)))
    return tuple(files), tuple(found)


def _problem(entry: ConfigFileEntry, effective: EffectiveService, message: str) -> ServiceProblem:
    path = f"configFiles[{entry.path}]"
    return ServiceProblem(f"{path}.content", message, effective.origin(path))
