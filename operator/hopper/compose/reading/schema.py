"""Checks a model against the schema of the Compose Specification, which `check-jsonschema` carries.

Only the shape is checked: unknown keys are reported by those who read the model, scalars of another type are read as
docker compose would read their text, and repeated entries do no harm.
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
_HARMLESS = frozenset({"additionalProperties", "unevaluatedProperties", "uniqueItems", "format", "dependentRequired"})
_CHOICES = frozenset({"oneOf", "anyOf"})
_KINDS = {"object": "a mapping", "array": "a list", "string": "a text", "boolean": "true or false", "null": "nothing"}
_KINDS |= {"integer": "a whole number", "number": "a number"}
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
    """Report every place where the model has a shape that compose does not know, as a problem."""
    for error in _validator().iter_errors(model):
        for cause in _causes(error):
            path = [str(step) for step in cause.absolute_path]
            about, field = report.about(file), ".".join(path)
            if path[:1] == ["services"] and len(path) > 1:
                about, field = report.about(file, path[1]), ".".join(path[2:])
            about.problem(re.sub(r"\.(\d+)", r"[\1]", field), *_words(cause, path))


@cache
def _validator() -> Draft202012Validator:
    # Read as a data file: importing that package brings in a whole command line.
    path = Path(str(distribution("check-jsonschema").locate_file(_SCHEMA)))
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def _causes(error: ValidationError) -> Iterator[ValidationError]:
    """Yield what is really wrong: of several choices that all fail, the causes in the one that comes closest."""
    if error.validator in _HARMLESS or _is_readable_scalar(error):
        return
    if error.validator not in _CHOICES or not error.context:
        yield error
        return
    choices: dict[Any, list[ValidationError]] = {}
    for inner in error.context:
        choices.setdefault(inner.schema_path[0], []).extend(_causes(inner))
    known = {inner.schema_path[0] for inner in error.context}
    if all(choices[choice] for choice in known):
        # A choice of another type says nothing; one of the right type says what is wrong within.
        closest = [causes for causes in choices.values() if not _is_of_another_type(causes, error)]
        yield from max(closest, key=_depth) if closest else [error]


def _is_of_another_type(causes: Sequence[ValidationError], choice: ValidationError) -> bool:
    return all(cause.validator == "type" and cause.absolute_path == choice.absolute_path for cause in causes)


def _depth(causes: Sequence[ValidationError]) -> int:
    return max(len(cause.absolute_path) for cause in causes)


def _is_readable_scalar(error: ValidationError) -> bool:
    """Tell whether a scalar stands where compose wants one of another type, whose text says the same."""
    if error.validator != "type" or isinstance(error.instance, dict | list):
        return False
    return error.instance is None or bool(_types(error) & {"string", "number", "integer", "boolean"})


def _types(error: ValidationError) -> set[str]:
    value: Any = error.validator_value
    return {value} if isinstance(value, str) else set(value)


def _words(error: ValidationError, path: list[str]) -> tuple[str, str]:
    """Return message and fix, without the value: it may be a secret."""
    names = [step for step in path if not step.isdigit()]
    # The fixes are for keys of services, and for `services` itself: entries at the top level look different.
    known = names and (names[0] == "services")
    fix = (_FIXES.get(names[-1]) if known else None) or "see the Compose Specification"
    value: Any = error.validator_value
    match error.validator:
        case "required":
            given: Any = error.instance
            missing = [key for key in value if key not in given]
            return f"{' and '.join(missing)} is missing", "add it"
        case "enum":
            return "this is none of the words that are allowed", f"write {', '.join(map(str, value))}"
        case "type" | "oneOf" | "anyOf":
            return f"this is {_kind(error.instance)}{_wanted(error)}", fix
        case _:
            return "this is not what compose allows here", fix


def _kind(value: object) -> str:
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "empty"
        case _:
            return "a single value"


def _wanted(error: ValidationError) -> str:
    if error.validator != "type":
        return ", which does not fit here"
    return f", not {' or '.join(sorted(_KINDS[kind] for kind in _types(error)))}"
