"""Construction of the manifests that a conversion results in."""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter

from hopper.api.enums import DesiredState, Scope
from hopper.api.model import dump
from hopper.api.names import API_VERSION, INSTANCE_KIND, LABEL_APP_PART_OF, TEMPLATE_KIND
from hopper.api.resources import Manifest
from hopper.api.service import Overrides
from hopper.api.template import dump_template_spec
from hopper.compose.services.service import ConvertedService

_OVERRIDES: TypeAdapter[Overrides] = TypeAdapter(Overrides)


def build_manifests(services: Iterable[ConvertedService], stack: str | None) -> list[Manifest]:
    """Return the manifests, each after those it refers to: Secrets, templates, the project and its instances."""
    services = list(services)
    result = [_secret(service.secret_name, service.secrets, stack) for service in services if service.secrets]
    if stack is not None:
        result += [
            _secret(service.override_secret_name(stack), service.override_secrets, stack)
            for service in services
            if service.override_secrets
        ]
    result += [_template(service, stack) for service in services]
    if stack is not None:
        result.append(_manifest(API_VERSION, INSTANCE_KIND, stack, stack, spec={"scope": Scope.PROJECT.value}))
        result += [_instance(service, stack) for service in services]
    return result


def _manifest(api_version: str, kind: str, name: str, stack: str | None, **content: Any) -> Manifest:
    metadata: Manifest = {"name": name}
    if stack is not None:
        metadata["labels"] = {LABEL_APP_PART_OF: stack}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def _secret(name: str, secrets: Mapping[str, str], stack: str | None) -> Manifest:
    # `data`, because server-side apply cannot remove a key that was written as `stringData`.
    data = {key: b64encode(value.encode(errors="replace")).decode() for key, value in sorted(secrets.items())}
    return _manifest("v1", "Secret", name, stack, type="Opaque", data=data)


def _template(service: ConvertedService, stack: str | None) -> Manifest:
    spec = _without_redundant_content(dump_template_spec(service.spec))
    return _manifest(API_VERSION, TEMPLATE_KIND, service.name, stack, spec=spec)


def _without_redundant_content(spec: Manifest) -> Manifest:
    """Remove the empty content of config files whose content comes from a Secret or ConfigMap."""
    for file in spec.get("configFiles", ()):
        if "contentFrom" in file:
            del file["content"]
    return spec


def _instance(service: ConvertedService, stack: str) -> Manifest:
    spec: Manifest = {
        "scope": Scope.ORCHESTRATION.value,
        "parentRef": {"name": stack},
        "templateRef": {"name": service.name},
    }
    if service.state is not DesiredState.RUNNING:
        spec["desiredState"] = service.state.value
    if service.replicas is not None:
        spec["replicas"] = service.replicas
    if (policy := service.restart.as_policy()) is not None:
        spec["restartPolicy"] = policy
    if service.overrides:
        overrides = {kind: entries for kind, entries in dump(_OVERRIDES, service.overrides).items() if entries}
        spec["overrides"] = _without_redundant_content(overrides)
    return _manifest(API_VERSION, INSTANCE_KIND, f"{stack}-{service.name}", stack, spec=spec)
