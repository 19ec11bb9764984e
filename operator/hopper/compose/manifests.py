"""The Kubernetes objects, as mappings ready to be written out."""

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


def manifests(services: Iterable[ConvertedService], stack: str | None) -> list[Manifest]:
    """Return what refers to others after what it refers to: Secrets, templates, the Project, its instances."""
    services = list(services)
    result = [_secret(s.secret_name, s.secrets, stack) for s in services if s.secrets]
    if stack is not None:
        own = [s for s in services if s.override_secrets]
        result += [_secret(s.override_secret_name(stack), s.override_secrets, stack) for s in own]
    result += [_template(service, stack) for service in services]
    if stack is not None:
        result.append(_object(API_VERSION, INSTANCE_KIND, stack, stack, spec={"scope": Scope.PROJECT.value}))
        result += [_instance(service, stack) for service in services]
    return result


def _object(api_version: str, kind: str, name: str, stack: str | None, **content: Any) -> Manifest:
    metadata: Manifest = {"name": name}
    if stack is not None:
        metadata["labels"] = {LABEL_APP_PART_OF: stack}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def _secret(name: str, secrets: Mapping[str, str], stack: str | None) -> Manifest:
    # `data`, because server-side apply cannot remove a key that was written by `stringData`.
    data = {key: b64encode(value.encode(errors="replace")).decode() for key, value in sorted(secrets.items())}
    return _object("v1", "Secret", name, stack, type="Opaque", data=data)


def _template(service: ConvertedService, stack: str | None) -> Manifest:
    return _object(API_VERSION, TEMPLATE_KIND, service.name, stack, spec=_tidy(dump_template_spec(service.spec)))


def _tidy(spec: Manifest) -> Manifest:
    """Leave out the content of files that come from elsewhere."""
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
        spec["overrides"] = _tidy({kind: own for kind, own in dump(_OVERRIDES, service.overrides).items() if own})
    return _object(API_VERSION, INSTANCE_KIND, f"{stack}-{service.name}", stack, spec=spec)
