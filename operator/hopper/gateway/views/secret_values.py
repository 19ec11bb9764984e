"""Secret values of environment variables. Requests may contain them; responses and error messages never do."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.api.service import EnvEntry, Overrides
from hopper.domain.service.merge import mark_inherited_secrets
from hopper.ports import RefusedError
from hopper.registry import TemplateIndex

_REDACTED = "…"


def marked_overrides(instance: HopperInstance, templates: TemplateIndex) -> Overrides:
    """Return the overrides of an instance with `secret: true` on every secret variable.

    A variable that is secret in the template is secret in the overrides as well. If the template is unknown, all
    variables with a value are treated as secret.
    """
    overrides, ref = instance.spec.overrides or Overrides(), instance.spec.template_ref
    if ref is None:
        return overrides
    if template := templates.get(instance.namespace, ref.name):
        return mark_inherited_secrets(overrides, template.spec)
    env = (
        replace(entry, secret=True) if entry.secret is None and entry.value is not None else entry
        for entry in overrides.env
    )
    return replace(overrides, env=tuple(env))


def without_secret_value(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of `env`, without its value if that is secret."""
    return {key: value for key, value in entry.items() if key != "value"} if entry.get("secret") else entry


def restore_secret_values(entries: Iterable[EnvEntry], current: Iterable[EnvEntry]) -> tuple[EnvEntry, ...]:
    """Return the entries, with the current value in each secret entry without a value.

    A client can thus send a response back without losing the secrets that it does not contain.
    """
    values = {entry.name: entry.value for entry in current if entry.secret}
    return tuple(replace(entry, value=values.get(entry.name)) if _lacks_value(entry) else entry for entry in entries)


def _lacks_value(entry: EnvEntry) -> bool:
    return bool(entry.secret) and entry.value is None and entry.value_from is None and not entry.remove


def secret_values(entries: Iterable[EnvEntry]) -> list[str]:
    """Return the values that no message may contain."""
    return [entry.value for entry in entries if entry.secret and entry.value]


def redact(error: RefusedError, secrets: list[str]) -> RefusedError:
    """Return an error of the API server without secret values, because the API server quotes invalid values."""

    def redact_text(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, _REDACTED)
        return text

    causes = [type(cause)(cause.field, redact_text(cause.message), cause.reason) for cause in error.causes]
    return RefusedError(redact_text(str(error)), code=error.code, causes=causes)
