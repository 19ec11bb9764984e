"""HopperTemplate. `kubectl explain` shows the descriptions of its fields."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from hopper.api.enums import RestartMode, SecurityProfile
from hopper.api.model import OBSERVED_OR_NONE, WIRE, Condition, Metadata, ObjectName, dump
from hopper.api.service import ConfigFiles, Domains, Env, Healthcheck, Labels, Ports, Volumes

USERS_SHOWN = 20

Argument = Annotated[str, Field(max_length=32768)]
Quantity = Annotated[
    str,
    Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$", description="Quantity."),
]


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class ResourceAmounts:
    """Amounts of CPU and memory."""

    cpu: Annotated[Quantity | None, Field(description="Amount of CPU, such as 500m or 2.")] = None
    memory: Annotated[Quantity | None, Field(description="Amount of memory, such as 256Mi.")] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Resources:
    """Resource requests and limits of the container."""

    requests: Annotated[
        ResourceAmounts | None, Field(description="Guaranteed amounts. The scheduler selects nodes by them.")
    ] = None
    limits: Annotated[ResourceAmounts | None, Field(description="Maximum amounts.")] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class TemplateSpec:
    """Service that instances run: an image, its process, and seven kinds of entries that instances may override."""

    image: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@+-]*$",
            description="Container image. Use a tag or a digest.",
        ),
    ]
    description: Annotated[str | None, Field(max_length=4096, description="Human-readable purpose of the service.")] = (
        None
    )
    command: Annotated[
        tuple[Argument, ...] | None,
        Field(
            max_length=64,
            description="Entrypoint. If not set, the entrypoint of the image is used.",
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = None
    args: Annotated[
        tuple[Argument, ...] | None,
        Field(
            max_length=256,
            description="Arguments of the entrypoint. If not set, the command of the image is used.",
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = None
    working_dir: Annotated[
        str | None,
        Field(
            max_length=1024,
            pattern=r"^/",
            description="Working directory of the process. If not set, that of the image is used.",
        ),
    ] = None
    user: Annotated[
        str | None,
        Field(
            max_length=21,
            pattern=r"^[0-9]{1,10}(:[0-9]{1,10})?$",
            description="Numeric user ID of the process, optionally with a group ID, such as 1000:1000.",
        ),
    ] = None
    resources: Annotated[Resources | None, Field(description="Resource requests and limits of the container.")] = None
    depends_on: Annotated[
        tuple[ObjectName, ...] | None,
        Field(
            max_length=64,
            description="Siblings that must be Ready before an instance starts. A name may omit that of the parent.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = None
    restart: Annotated[
        RestartMode | None, Field(description="Restart mode of instances that do not set spec.restartPolicy.")
    ] = None
    security_profile: Annotated[
        SecurityProfile,
        Field(
            description="Permissions of the pods. Restricted: not as root, as the Pod Security Standard requires. "
            "Baseline: for images that need root or default capabilities; instances then have the condition Warning."
        ),
    ] = SecurityProfile.RESTRICTED
    ports: Ports = ()
    volumes: Volumes = ()
    env: Env = ()
    labels: Labels = ()
    domains: Domains = ()
    healthcheck: Annotated[Healthcheck | None, Field(description="Health check of the container.")] = None
    config_files: ConfigFiles = ()


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class TemplateStatus:
    """Observed state of a template. Only the operator writes it."""

    observed_generation: Annotated[
        int | None,
        OBSERVED_OR_NONE,
        Field(
            description="Generation of the template from which this status was computed; -1 before the operator "
            "has seen the template."
        ),
    ] = None
    users: Annotated[int, Field(description="Number of instances that reference the template.")] = 0
    used_by: Annotated[
        tuple[str, ...],
        Field(
            max_length=USERS_SHOWN,
            description=f"Names of these instances in alphabetical order, at most {USERS_SHOWN}.",
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            description="Current conditions of the template. Ready is True if the template can be rendered.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class HopperTemplate:
    """Reusable description of a service that instances run: image, ports, volumes, environment and more."""

    metadata: Metadata
    spec: Annotated[TemplateSpec, Field(description="Service that instances run.")]
    status: Annotated[
        TemplateStatus, Field(description="Observed state of the template. Only the operator writes it.")
    ] = TemplateStatus()

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
    """Return the template for an object from the API server.

    Raises `pydantic.ValidationError` if the object does not match the models.
    """
    return _TEMPLATE.validate_python(raw)


def dump_template_spec(spec: TemplateSpec) -> dict[str, Any]:
    """Return the wire form of a template's spec, without empty lists."""
    return {key: value for key, value in dump(_SPEC, spec).items() if value != []}


def dump_template_status(status: TemplateStatus) -> dict[str, Any]:
    """Return the wire form of a template's status."""
    return dump(_STATUS, status)
