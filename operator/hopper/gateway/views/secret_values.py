"""Secret values of environment variables. Requests may contain them; responses and error messages never do."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hopper.api.instance import HopperInstance
from hopper.api.service import EnvEntry, Overrides
from hopper.domain.service.merge import mark_inherited_secrets
from hopper.ports import RefusedError
from hopper.registry import TemplateIndex

_REDACTED = "…"
# Names of the Secrets that the gateway makes for secret values.
VALUES_PREFIX = "hopper-values-"
_GENERATED_NAME = re.compile(VALUES_PREFIX + "[a-z0-9].*-[0-9a-f]{12}")


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


def is_generated_name(secret: str) -> bool:
    """Whether a Secret has the form of name that the gateway gives."""
    return _GENERATED_NAME.fullmatch(secret) is not None


def without_secret_value(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of `env` without its value if that is secret, and without a reference that the gateway made."""
    if not entry.get("secret"):
        return entry
    reference = (entry.get("valueFrom") or {}).get("secretKeyRef") or {}
    hidden = {"value", "valueFrom"} if is_generated_name(reference.get("name", "")) else {"value"}
    return {key: value for key, value in entry.items() if key not in hidden}


def restore_secret_values(entries: Iterable[EnvEntry], current: Iterable[EnvEntry]) -> tuple[EnvEntry, ...]:
    """Return the entries, with the current value or reference in each secret entry without one.

    A client can thus send a response back without losing the secrets that it does not contain.
    """
    known = {entry.name: entry for entry in current if entry.secret}
    return tuple(_with_value_of(entry, known.get(entry.name)) if _lacks_value(entry) else entry for entry in entries)


def _with_value_of(entry: EnvEntry, current: EnvEntry | None) -> EnvEntry:
    return replace(entry, value=current.value, value_from=current.value_from) if current else entry


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
