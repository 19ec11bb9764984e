"""HopperTemplate: a reusable description of a service, which instances run with changes of their own."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from hopper.api.enums import RestartMode, SecurityProfile
from hopper.api.instance import Condition, Metadata, ObjectName
from hopper.api.model import WIRE, dump
from hopper.api.service import ConfigFiles, Domains, Env, Healthcheck, Labels, Ports, Volumes

USERS_SHOWN = 20

Argument = Annotated[str, Field(max_length=32768)]
Quantity = Annotated[
    str,
    Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$", description="A quantity."),
]


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class ResourceAmounts:
    """Amounts of CPU and memory."""

    cpu: Annotated[Quantity | None, Field(description="CPU, such as 500m or 2.")] = None
    memory: Annotated[Quantity | None, Field(description="Memory, such as 256Mi.")] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Resources:
    """What the container is guaranteed and what it may use at most."""

    requests: Annotated[ResourceAmounts | None, Field(description="Guaranteed; the scheduler places pods by it.")] = (
        None
    )
    limits: Annotated[ResourceAmounts | None, Field(description="The most it may use.")] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class TemplateSpec:
    """The service: an image, how to run it, and entries of seven kinds that an instance may override."""

    image: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@+-]*$",
            description="Container image, best with a tag or digest.",
        ),
    ]
    description: Annotated[str | None, Field(max_length=4096, description="What the service is for.")] = None
    command: Annotated[
        tuple[Argument, ...] | None,
        Field(
            max_length=64,
            description="Replaces the image's entrypoint.",
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = None
    args: Annotated[
        tuple[Argument, ...] | None,
        Field(
            max_length=256,
            description="Replaces the image's command (the arguments of the entrypoint).",
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = None
    working_dir: Annotated[
        str | None, Field(max_length=1024, pattern=r"^/", description="Directory the process starts in.")
    ] = None
    user: Annotated[
        str | None,
        Field(
            max_length=21,
            pattern=r"^[0-9]{1,10}(:[0-9]{1,10})?$",
            description="Numeric user, or user:group, the process runs as.",
        ),
    ] = None
    resources: Annotated[Resources | None, Field(description="CPU and memory, guaranteed and at most.")] = None
    depends_on: Annotated[
        tuple[ObjectName, ...] | None,
        Field(
            max_length=64,
            description="Siblings that must be Ready before the instance starts: their names, without the parent's.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = None
    restart: Annotated[
        RestartMode | None, Field(description="Restart policy of instances that set none of their own.")
    ] = None
    security_profile: Annotated[
        SecurityProfile,
        Field(
            description="Restricted: runs as a user other than root, as Pod Security `restricted` asks. Baseline: for "
            "images that need root or capabilities of the default set; instances then carry a warning."
        ),
    ] = SecurityProfile.RESTRICTED
    ports: Ports = ()
    volumes: Volumes = ()
    env: Env = ()
    labels: Labels = ()
    domains: Domains = ()
    healthcheck: Annotated[Healthcheck | None, Field(description="How to tell that the process is well.")] = None
    config_files: ConfigFiles = ()


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class TemplateStatus:
    """Who uses the template. Written by the operator only."""

    observed_generation: Annotated[int | None, Field(description="The generation that this status answers.")] = None
    users: Annotated[int, Field(description="How many instances name this template.")] = 0
    used_by: Annotated[
        tuple[str, ...],
        Field(
            max_length=USERS_SHOWN,
            description=f"Their names, sorted; the first {USERS_SHOWN}.",
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            description="Ready tells whether the template can be rendered.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class HopperTemplate:
    """A reusable description of a service: image, ports, volumes, environment and more."""

    metadata: Metadata
    spec: Annotated[TemplateSpec, Field(description="The service.")]
    status: Annotated[TemplateStatus, Field(description="Who uses it. Written by the operator only.")] = (
        TemplateStatus()
    )

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace


_TEMPLATE: TypeAdapter[HopperTemplate] = TypeAdapter(HopperTemplate)
_SPEC: TypeAdapter[TemplateSpec] = TypeAdapter(TemplateSpec)
_STATUS: TypeAdapter[TemplateStatus] = TypeAdapter(TemplateStatus)


def parse_template(raw: dict[str, Any]) -> HopperTemplate:
    """Read an object as the API server sends it.

    Raises `pydantic.ValidationError` where the object does not fit the contract.
    """
    return _TEMPLATE.validate_python(raw)


def dump_template_spec(spec: TemplateSpec) -> dict[str, Any]:
    """Return the wire form of a template's spec, without empty lists."""
    return {key: value for key, value in dump(_SPEC, spec).items() if value != []}


def dump_template_status(status: TemplateStatus) -> dict[str, Any]:
    """Return the wire form of a template's status."""
    return dump(_STATUS, status)
