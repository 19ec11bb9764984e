"""Configuration files of an instance: the values that templated files can use, and the rendered files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from hopper.api.config import InstanceConfig
from hopper.api.instance import HopperInstance
from hopper.api.model import dump
from hopper.api.service import EnvSource, PortEntry
from hopper.domain.config import effective_config
from hopper.domain.service.environment import EnvValues
from hopper.domain.service.merge import EffectiveService, ServiceProblem
from hopper.domain.service.naming import ObjectNames, nearest_project, short_hash
from hopper.domain.service.text_template import TemplateTextError, render_text

_CONFIG: TypeAdapter[InstanceConfig] = TypeAdapter(InstanceConfig)
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._]+(/[A-Za-z0-9._]+)*")
_MAX_KEY = 253


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """Rendered configuration file.

    A file with a secret value is stored in the Secret, any other file in the ConfigMap. A file with a `source` comes
    from an existing Secret or ConfigMap, and its `text` is empty.
    """

    path: str
    text: str
    mode: int
    secret: bool = False
    source: EnvSource | None = None

    @property
    def key(self) -> str:
        """Key of the file in the ConfigMap or Secret. Different paths have different keys.

        The key begins with `-`, from the first `/` of the path, so it never equals the name of a variable.
        """
        if _PLAIN_PATH.fullmatch(self.path) and len(self.path) <= _MAX_KEY:
            return self.path.replace("/", "-")
        label = re.sub("[^A-Za-z0-9._]+", "-", self.path)
        return f"-{label.strip('-')[: _MAX_KEY - 10]}-{short_hash(self.path)}"


def render_files(
    instance: HopperInstance, ancestors: Sequence[HopperInstance], effective: EffectiveService, names: ObjectNames
) -> tuple[tuple[ConfigFile, ...], tuple[ServiceProblem, ...]]:
    """Return the rendered files, and a problem for each file that cannot be rendered."""
    files, problems = [], []
    values = template_values(instance, ancestors, effective, names)
    for entry in effective.spec.config_files:
        env = values["env"] = EnvValues(effective.spec.env)
        try:
            text = render_text(entry.content, values) if entry.template else entry.content
            files.append(ConfigFile(entry.path, text, int(entry.mode, 8), env.secret_was_read, entry.content_from))
        except TemplateTextError as error:
            path = f"configFiles[{entry.path}]"
            problems.append(ServiceProblem(f"{path}.content", str(error), effective.origin(path)))
    return tuple(files), tuple(problems)


def template_values(
    instance: HopperInstance, ancestors: Sequence[HopperInstance], effective: EffectiveService, names: ObjectNames
) -> dict[str, Any]:
    """Return the values that a templated file can use, for an instance with these ancestors (nearest first).

    Values that are not set are left out. The names of the values are part of the API and must not change.
    """
    spec = effective.spec
    identity = {
        "name": instance.name,
        "namespace": instance.namespace,
        "scope": instance.spec.scope.value,
        "path": "/".join(member.name for member in (*reversed(ancestors), instance)),
        "displayName": instance.spec.display_name,
        "host": names.base,
    }
    values = {
        "instance": {key: value for key, value in identity.items() if value is not None},
        "parent": ancestors[0].name if ancestors else None,
        "project": nearest_project(ancestors),
        "ports": [_port_value(port) for port in spec.ports],
        "labels": {label.name: label.value for label in spec.labels},
        "config": dump(_CONFIG, effective_config(instance, ancestors)),
        "env": EnvValues(spec.env),
    }
    return {key: value for key, value in values.items() if value is not None}


def _port_value(port: PortEntry) -> dict[str, Any]:
    service_port = port.host_port or port.container_port
    return {"containerPort": port.container_port, "port": service_port, "protocol": port.protocol.value}
