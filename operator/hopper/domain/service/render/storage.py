"""Where data and configuration live: ConfigMap, Secret and PersistentVolumeClaims."""

from base64 import b64encode

from hopper.api.resources import Manifest
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.contents import config_data, secret_data
from hopper.domain.service.quantity import canonical
from hopper.domain.service.render.meta import manifest

DEFAULT_SIZE = "1Gi"


def config_map(blueprint: Blueprint) -> Manifest | None:
    """Return the ConfigMap, None where it would be empty."""
    data = config_data(blueprint)
    return manifest(blueprint, "v1", "ConfigMap", blueprint.names.base, data=data) if data else None


def secret(blueprint: Blueprint) -> Manifest | None:
    """Return the Secret, None where it would be empty. `data`, as `stringData` cannot be read back and compared."""
    data = {key: b64encode(value.encode()).decode() for key, value in secret_data(blueprint).items()}
    return manifest(blueprint, "v1", "Secret", blueprint.names.base, type="Opaque", data=data) if data else None


def claims(blueprint: Blueprint) -> list[Manifest]:
    """Return a claim for each volume of our own that is to outlive the pods."""
    sizes = blueprint.claim_sizes
    return [_claim(blueprint, name, sizes[name] or DEFAULT_SIZE) for name in sorted(sizes)]


def _claim(blueprint: Blueprint, name: str, size: str) -> Manifest:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": canonical(size)}}}
    return manifest(blueprint, "v1", "PersistentVolumeClaim", name, spec=spec)
