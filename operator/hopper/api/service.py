"""The seven kinds of entries that templates and overrides share, each with its merge key."""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from hopper.api.enums import PortProtocol, VolumeType
from hopper.api.model import WIRE

Port = Annotated[int, Field(ge=1, le=65535)]
Remove = Annotated[
    bool | None,
    Field(alias="$remove", description="Whether to remove the template's entry with this key instead of replacing it."),
]


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class PortEntry:
    """Port of the container. Entries are merged by containerPort and protocol."""

    container_port: Annotated[Port, Field(description="Port that the process listens on.")]
    protocol: Annotated[PortProtocol, Field(description="Transport protocol of the port.")] = PortProtocol.TCP
    host_port: Annotated[
        Port | None, Field(description="Port of the Service. If not set, it is the containerPort.")
    ] = None
    host_ip: Annotated[
        str | None,
        Field(
            alias="hostIP",
            max_length=45,
            description="Host address of the port in the imported compose file. It has no effect in a cluster.",
        ),
    ] = None
    remove: Remove = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class VolumeEntry:
    """Volume mount of the container. Entries are merged by target."""

    target: Annotated[str, Field(min_length=1, max_length=1024, description="Absolute path in the container.")]
    type: Annotated[
        VolumeType,
        Field(
            description="Source of the data. volume: a PersistentVolumeClaim. tmpfs: memory. config: an existing "
            "ConfigMap. bind: not supported."
        ),
    ] = VolumeType.VOLUME
    source: Annotated[
        str | None,
        Field(
            max_length=253,
            description="Name of the volume, the PersistentVolumeClaim or the ConfigMap. If not set, the name is "
            "derived from the target.",
        ),
    ] = None
    read_only: Annotated[bool | None, Field(description="Whether the mount is read-only.")] = None
    external: Annotated[
        bool | None,
        Field(description="Whether the source exists already, so that Hopper neither creates nor deletes it."),
    ] = None
    size: Annotated[
        str | None,
        Field(
            max_length=32,
            pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
            description="Requested size as a quantity, such as 1Gi.",
        ),
    ] = None
    remove: Remove = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class KeyRef:
    """Reference to a key of a Secret or ConfigMap in the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the Secret or ConfigMap.")]
    key: Annotated[str, Field(min_length=1, max_length=253, description="Key in the data of the object.")]


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class EnvSource:
    """Source of a variable's value or of a file's content. Exactly one field must be set."""

    secret_key_ref: Annotated[KeyRef | None, Field(description="Key of a Secret.")] = None
    config_map_key_ref: Annotated[KeyRef | None, Field(description="Key of a ConfigMap.")] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class EnvEntry:
    """Environment variable of the container. Entries are merged by name."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=253, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", description="Name of the variable."),
    ]
    value: Annotated[str | None, Field(max_length=32768, description="Value of the variable.")] = None
    secret: Annotated[
        bool | None,
        Field(
            description="Whether the value is secret. Pods get a secret value from a Secret, and status, Events, logs "
            "and REST responses never show it. It remains in this spec: everyone who can read this object can read it, "
            "and so can everyone with access to its manifest, its annotations or a backup. Use valueFrom.secretKeyRef "
            "to keep a value from them."
        ),
    ] = None
    value_from: Annotated[
        EnvSource | None, Field(description="Source of the value. Mutually exclusive with value.")
    ] = None
    remove: Remove = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class LabelEntry:
    """Label on the workload and its pods. Entries are merged by name."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=317,
            pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
            description="Name of the label, with an optional prefix.",
        ),
    ]
    value: Annotated[
        str,
        Field(
            max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", description="Value of the label."
        ),
    ] = ""
    remove: Remove = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class DomainEntry:
    """Host name that an Ingress routes to the instance. Entries are merged by domain."""

    domain: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            description="Host name. It may start with a wildcard, such as *.example.com.",
        ),
    ]
    proxy_port: Annotated[
        Port | None,
        Field(description="Container port that receives the requests. If not set, it is the lowest TCP port."),
    ] = None
    remove: Remove = None


# Every entry other than a removal needs a test. The CRD has a CEL rule for that, with a better message.
_TEST_OR_REMOVE = ConfigDict(json_schema_extra={"anyOf": [{"required": ["test"]}, {"required": ["$remove"]}]})


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE | _TEST_OR_REMOVE)
class Healthcheck:
    """Health check of the container. An override replaces it as a whole."""

    test: Annotated[
        tuple[Annotated[str, Field(max_length=4096)], ...],
        Field(
            min_length=1,
            max_length=64,
            exclude_if=lambda test: not test,  # a removal has no test, and the schema rejects an empty list
            description="Test in the form of compose files: [CMD, program, args…], [CMD-SHELL, command line], or "
            "[NONE].",
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    interval_seconds: Annotated[int, Field(ge=1, le=86400, description="Number of seconds between two tests.")] = 30
    timeout_seconds: Annotated[
        int, Field(ge=1, le=86400, description="Number of seconds after which a test fails.")
    ] = 10
    retries: Annotated[
        int, Field(ge=1, le=100, description="Number of failures in a row after which the container is unhealthy.")
    ] = 3
    start_period_seconds: Annotated[
        int, Field(ge=0, le=86400, description="Number of seconds after the start in which failures do not count.")
    ] = 0
    # Nullable, because an empty value of a Helm chart is null, and the CEL rule has a better message for it.
    remove: Annotated[Remove, Field(json_schema_extra={"nullable": True})] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class ConfigFileEntry:
    """File in the container. Entries are merged by path."""

    path: Annotated[str, Field(min_length=1, max_length=1024, description="Absolute path in the container.")]
    content: Annotated[str, Field(max_length=262144, description="Content of the file.")] = ""
    mode: Annotated[
        str, Field(max_length=4, pattern=r"^0?[0-7]{3}$", description="Permissions of the file, in octal.")
    ] = "0644"
    template: Annotated[
        bool | None,
        Field(
            description="Whether the content is a template whose placeholders are replaced with values of the instance."
        ),
    ] = None
    content_from: Annotated[
        EnvSource | None, Field(description="Source of the content. Mutually exclusive with content.")
    ] = None
    remove: Remove = None


def _keyed(description: str, limit: int, *keys: str) -> object:
    return Field(
        description=description,
        max_length=limit,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)},
    )


Ports = Annotated[
    tuple[PortEntry, ...], _keyed("Ports of the container and of the Service.", 64, "containerPort", "protocol")
]
Volumes = Annotated[tuple[VolumeEntry, ...], _keyed("Volume mounts of the container.", 64, "target")]
Env = Annotated[tuple[EnvEntry, ...], _keyed("Environment variables of the container.", 1024, "name")]
Labels = Annotated[tuple[LabelEntry, ...], _keyed("Labels on the workload and its pods.", 64, "name")]
Domains = Annotated[tuple[DomainEntry, ...], _keyed("Host names that an Ingress routes to the instance.", 32, "domain")]
ConfigFiles = Annotated[tuple[ConfigFileEntry, ...], _keyed("Files in the container.", 64, "path")]


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Overrides:
    """Changes to a template for one instance. An entry replaces the template's entry with the same key, or adds one."""

    ports: Ports = ()
    volumes: Volumes = ()
    env: Env = ()
    labels: Labels = ()
    domains: Domains = ()
    healthcheck: Annotated[Healthcheck | None, Field(description="Health check of the container.")] = None
    config_files: ConfigFiles = ()

    def __len__(self) -> int:
        """Return the number of entries of all seven kinds."""
        lists = (self.ports, self.volumes, self.env, self.labels, self.domains, self.config_files)
        return sum(map(len, lists)) + (self.healthcheck is not None)
