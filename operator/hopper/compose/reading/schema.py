"""Validation of a model against the schema of the Compose Specification, which `check-jsonschema` contains.

Only the shape is checked. Other modules report unknown keys, and read scalars of another type as docker compose reads
their text. Repeated entries are harmless.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from hopper.compose.report import Report

_SCHEMA = "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
_IGNORED = frozenset({"additionalProperties", "unevaluatedProperties", "uniqueItems", "format", "dependentRequired"})
_CHOICES = frozenset({"oneOf", "anyOf"})
_TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "boolean": "true or false",
    "null": "nothing",
    "integer": "a whole number",
    "number": "a number",
}
_FIXES = {
    "services": "write each service under its name, as in `web: {image: nginx}`",
    "image": "write the image as text, as in `image: nginx:1.29`",
    "ports": 'write a list, as in `- "8080:80"`',
    "expose": 'write a list, as in `- "3000"`',
    "volumes": "write a list, as in `- data:/var/lib/data`",
    "environment": "write `NAME: value` lines, or a list of `- NAME=value`",
    "env_file": "write a path, or a list of paths",
    "labels": "write `name: value` lines, or a list of `- name=value`",
    "healthcheck": "write a mapping, as in `test: curl -f http://localhost`",
    "test": "write a text, or a list such as [CMD-SHELL, curl -f http://localhost]",
    "command": "write a text or a list of words",
    "entrypoint": "write a text or a list of words",
    "depends_on": "write a list of services, or a mapping with a condition for each",
    "condition": "write service_started, service_healthy or service_completed_successfully",
    "deploy": "write a mapping, as in `resources: {limits: {memory: 256M}}`",
    "networks": "write a list of names, or a mapping",
    "restart": 'write "no", always, on-failure or unless-stopped',
    "extends": "write the name of a service, or a mapping with service and file",
}


def check_schema(model: dict[str, Any], file: str, report: Report) -> None:
    """Report each value with a shape that compose does not allow as a problem."""
    for error in _validator().iter_errors(model):
        for cause in _find_causes(error):
            path = [str(step) for step in cause.absolute_path]
            reporter, field = report.reporter_for(file), ".".join(path)
            if path[:1] == ["services"] and len(path) > 1:
                reporter, field = report.reporter_for(file, path[1]), ".".join(path[2:])
            reporter.problem(re.sub(r"\.(\d+)", r"[\1]", field), *_describe(cause, path))


@cache
def _validator() -> Draft202012Validator:
    # The schema is read as a data file, because importing check_jsonschema loads a whole command line.
    path = Path(str(distribution("check-jsonschema").locate_file(_SCHEMA)))
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def _find_causes(error: ValidationError) -> Iterator[ValidationError]:
    """Yield the causes of an error. If all of several choices fail, yield those of the choice that comes closest."""
    if error.validator in _IGNORED or _is_readable_scalar(error):
        return
    if error.validator not in _CHOICES or not error.context:
        yield error
        return
    causes_by_choice: dict[Any, list[ValidationError]] = {}
    for inner in error.context:
        causes_by_choice.setdefault(inner.schema_path[0], []).extend(_find_causes(inner))
    if all(causes_by_choice.values()):
        # Errors in a choice of another type do not help; errors inside a choice of the correct type do.
        closest = [causes for causes in causes_by_choice.values() if not _is_of_another_type(causes, error)]
        yield from max(closest, key=_max_depth) if closest else [error]


def _is_of_another_type(causes: Sequence[ValidationError], choice: ValidationError) -> bool:
    return all(cause.validator == "type" and cause.absolute_path == choice.absolute_path for cause in causes)


def _max_depth(causes: Sequence[ValidationError]) -> int:
    return max(len(cause.absolute_path) for cause in causes)


def _is_readable_scalar(error: ValidationError) -> bool:
    """Whether the value is a scalar of the wrong type whose text has the correct meaning."""
    if error.validator != "type" or isinstance(error.instance, dict | list):
        return False
    return error.instance is None or bool(_allowed_types(error) & {"string", "number", "integer", "boolean"})


def _allowed_types(error: ValidationError) -> set[str]:
    value: Any = error.validator_value
    return {value} if isinstance(value, str) else set(value)


def _describe(error: ValidationError, path: list[str]) -> tuple[str, str]:
    """Return message and fix. They do not contain the value, which may be a secret."""
    names = [step for step in path if not step.isdigit()]
    # The fixes are for keys of services and for `services` itself, because keys of other sections differ.
    is_in_services = names and names[0] == "services"
    fix = (_FIXES.get(names[-1]) if is_in_services else None) or "see the Compose Specification"
    value: Any = error.validator_value
    match error.validator:
        case "required":
            instance: Any = error.instance
            missing = [key for key in value if key not in instance]
            return f"{' and '.join(missing)} is missing", "add it"
        case "enum":
            return "the value is not one of the allowed words", f"write {', '.join(map(str, value))}"
        case "type":
            allowed = " or ".join(sorted(_TYPE_NAMES[name] for name in _allowed_types(error)))
            return f"the value is {_type_name(error.instance)}, not {allowed}", fix
        case "oneOf" | "anyOf":
            return f"the value is {_type_name(error.instance)}, which is not allowed here", fix
        case _:
            return "compose does not allow this value", fix


def _type_name(value: object) -> str:
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "empty"
        case _:
            return "a single value"
