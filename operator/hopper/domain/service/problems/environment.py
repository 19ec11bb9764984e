"""What is wrong with environment variables. Messages name variables and never show a value."""

from collections.abc import Iterator

from hopper.api.names import RESERVED_ENV
from hopper.api.service import EnvEntry, EnvSource
from hopper.domain.service.merge import EffectiveService
from hopper.domain.service.problem import ServiceProblem
from hopper.domain.service.problems.forms import wrong_source, wrong_text
from hopper.domain.service.variables import find_reference_cycle


def variable_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    for entry in effective.spec.env:
        path = f"env[{entry.name}]"
        origin = effective.origin(path)
        yield from (ServiceProblem(f"{path}{field}", wrong, origin) for field, wrong in _entry(entry))
    if circle := find_reference_cycle(effective.spec.env):
        path = f"env[{circle[0]}]"
        message = f"refers to itself through {' → '.join(circle)}: give one of them a value of its own"
        yield ServiceProblem(f"{path}.value", message, effective.origin(path))


def _entry(entry: EnvEntry) -> Iterator[tuple[str, str]]:
    reserved = next((prefix for prefix in RESERVED_ENV if entry.name.upper().startswith(prefix)), None)
    if reserved is not None:
        yield ".name", f"begins with {reserved}, which is kept for the system: rename the variable"
    if entry.value is None and entry.value_from is None:
        yield "", "has neither value nor valueFrom: set one of them, or $remove: true to take an inherited one away"
    if entry.value is not None and entry.value_from is not None:
        yield ".valueFrom", "and value exclude each other: remove one of them"
    if entry.value is not None and (wrong := wrong_text(entry.value)):
        yield ".value", wrong
    if entry.value_from is not None:
        yield from _source(entry, entry.value_from)


def _source(entry: EnvEntry, source: EnvSource) -> Iterator[tuple[str, str]]:
    if entry.secret and source.config_map_key_ref is not None:
        yield ".secret", "cannot hold for a value from a ConfigMap: use secretKeyRef, or leave out secret"
    yield from wrong_source(source, ".valueFrom")
