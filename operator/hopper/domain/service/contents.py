"""What ConfigMap and Secret of an instance hold, and the hash of it."""

from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.checksum import digest, secret_digest


def config_data(blueprint: Blueprint) -> dict[str, str]:
    """Return what the ConfigMap holds: the files without secret values."""
    return {file.key: file.text for file in blueprint.files if not file.secret and not file.source}


def secret_data(blueprint: Blueprint) -> dict[str, str]:
    """Return what the Secret holds, in plain text: secret variables by name, and the files with secret values."""
    variables = {e.name: e.value for e in blueprint.spec.env if e.secret and e.value is not None}
    return variables | {file.key: file.text for file in blueprint.files if file.secret and not file.source}


def checksum(blueprint: Blueprint) -> str | None:
    """Return the hash of all configuration that pods read once, at their start; None where there is none."""
    config, secrets = config_data(blueprint), secret_data(blueprint)
    if not config and not secrets:
        return None
    return digest([config, secret_digest(secrets, blueprint.instance.metadata.uid)])
