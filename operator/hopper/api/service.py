"""The seven kinds of entry that a template and an override share, each with the key it is merged by."""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from hopper.api.enums import PortProtocol, VolumeType
from hopper.api.model import WIRE

Port = Annotated[int, Field(ge=1, le=65535)]
Remove = Annotated[
    bool | None,
    Field(alias="$remove", description="Removes the inherited entry with this key instead of replacing it."),
]


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class PortEntry:
    """A port of the container; merged by containerPort and protocol."""

    container_port: Annotated[Port, Field(description="The port the process listens on.")]
    protocol: Annotated[PortProtocol, Field(description="Transport protocol.")] = PortProtocol.TCP
    host_port: Annotated[
        Port | None, Field(description="The port offered by the Service; the container port when left out.")
    ] = None
    host_ip: Annotated[
        str | None, Field(alias="hostIP", max_length=45, description="Address the port was bound to; kept as a record.")
    ] = None
    remove: Remove = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class VolumeEntry:
    """A mount of the container; merged by target."""

    target: Annotated[str, Field(min_length=1, max_length=1024, description="Absolute path inside the container.")]
    type: Annotated[
        VolumeType,
        Field(description="volume: a PersistentVolumeClaim. tmpfs: memory. config: a ConfigMap. bind: refused."),
    ] = VolumeType.VOLUME
    source: Annotated[
        str | None,
        Field(max_length=253, description="Name of the volume, claim or ConfigMap; by default from the target."),
    ] = None
    read_only: Annotated[bool | None, Field(description="Whether the mount is read-only.")] = None
    external: Annotated[
        bool | None, Field(description="The source exists already and is neither created nor removed by Hopper.")
    ] = None
    size: Annotated[
        str | None,
        Field(
            max_length=32,
            pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
            description="Requested size as a Kubernetes quantity, such as 1Gi.",
        ),
    ] = None
    remove: Remove = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class KeyRef:
    """One key of a Secret or ConfigMap in the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the Secret or ConfigMap.")]
    key: Annotated[str, Field(min_length=1, max_length=253, description="Key within its data.")]


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class EnvSource:
    """Where the value of a variable, or the content of a file, comes from; exactly one of the two."""

    secret_key_ref: Annotated[KeyRef | None, Field(description="A key of a Secret.")] = None
    config_map_key_ref: Annotated[KeyRef | None, Field(description="A key of a ConfigMap.")] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class EnvEntry:
    """An environment variable; merged by name."""

    name: Annotated[
        str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", description="Variable name.")
    ]
    value: Annotated[str | None, Field(max_length=32768, description="The value.")] = None
    secret: Annotated[
        bool | None, Field(description="Keeps the value in a Secret only: never in status, events, logs or answers.")
    ] = None
    value_from: Annotated[EnvSource | None, Field(description="Takes the value from a Secret or ConfigMap.")] = None
    remove: Remove = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class LabelEntry:
    """A label on the workload and its pods; merged by name."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=317,
            pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
            description="Label name, with or without a prefix.",
        ),
    ]
    value: Annotated[
        str,
        Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", description="Label value."),
    ] = ""
    remove: Remove = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class DomainEntry:
    """A host name under which the instance is reached; merged by domain."""

    domain: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            description="The host name.",
        ),
    ]
    proxy_port: Annotated[
        Port | None, Field(description="Container port behind it; the lowest TCP port when left out.")
    ] = None
    remove: Remove = None


# What is not a removal needs a test. The definition has a rule of its own for that, with words of ours.
_TEST_OR_REMOVE = ConfigDict(json_schema_extra={"anyOf": [{"required": ["test"]}, {"required": ["$remove"]}]})


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE | _TEST_OR_REMOVE)
class Healthcheck:
    """How to tell that the process is well; there is one, and an override replaces it whole."""

    test: Annotated[
        tuple[Annotated[str, Field(max_length=4096)], ...],
        Field(
            min_length=1,
            max_length=64,
            exclude_if=lambda test: not test,  # left out by a removal; an empty list would be refused
            description="As in compose: [CMD, program, args…], [CMD-SHELL, command line], or [NONE].",
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    interval_seconds: Annotated[int, Field(ge=1, le=86400, description="Seconds between two tests.")] = 30
    timeout_seconds: Annotated[int, Field(ge=1, le=86400, description="Seconds until a test counts as failed.")] = 10
    retries: Annotated[int, Field(ge=1, le=100, description="Failures in a row until unhealthy.")] = 3
    start_period_seconds: Annotated[
        int, Field(ge=0, le=86400, description="Seconds after the start in which failures do not count.")
    ] = 0
    # A null comes from a Helm chart's empty value: the rule has better words for it than the API server.
    remove: Annotated[Remove, Field(json_schema_extra={"nullable": True})] = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class ConfigFileEntry:
    """A file placed into the container; merged by path."""

    path: Annotated[str, Field(min_length=1, max_length=1024, description="Absolute path inside the container.")]
    content: Annotated[str, Field(max_length=262144, description="The file's text.")] = ""
    mode: Annotated[str, Field(max_length=4, pattern=r"^0?[0-7]{3}$", description="Permissions, in octal.")] = "0644"
    template: Annotated[bool | None, Field(description="Renders the content with the instance's effective values.")] = (
        None
    )
    content_from: Annotated[
        EnvSource | None, Field(description="Takes the file from a key of a Secret or ConfigMap, as it is.")
    ] = None
    remove: Remove = None


def _keyed(description: str, limit: int, *keys: str) -> object:
    return Field(
        description=description,
        max_length=limit,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)},
    )


Ports = Annotated[tuple[PortEntry, ...], _keyed("Ports of the container.", 64, "containerPort", "protocol")]
Volumes = Annotated[tuple[VolumeEntry, ...], _keyed("Mounts of the container.", 64, "target")]
Env = Annotated[tuple[EnvEntry, ...], _keyed("Environment variables.", 1024, "name")]
Labels = Annotated[tuple[LabelEntry, ...], _keyed("Labels on the workload and its pods.", 64, "name")]
Domains = Annotated[tuple[DomainEntry, ...], _keyed("Host names under which the instance is reached.", 32, "domain")]
ConfigFiles = Annotated[tuple[ConfigFileEntry, ...], _keyed("Files placed into the container.", 64, "path")]


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Overrides:
    """Copy-on-write changes to the template: an entry replaces or adds by its key, `$remove` takes one away."""

    ports: Ports = ()
    volumes: Volumes = ()
    env: Env = ()
    labels: Labels = ()
    domains: Domains = ()
    healthcheck: Annotated[Healthcheck | None, Field(description="How to tell that the process is well.")] = None
    config_files: ConfigFiles = ()

    def __len__(self) -> int:
        """Count the entries, over all seven kinds."""
        lists = (self.ports, self.volumes, self.env, self.labels, self.domains, self.config_files)
        return sum(map(len, lists)) + (self.healthcheck is not None)
