"""The last check: what the operator would refuse in a template is taken out here, and reported."""

import re
from dataclasses import replace
from typing import Any

from hopper.api.template import TemplateSpec
from hopper.compose.report import Reporter
from hopper.domain.service.merge import LIST_KINDS, ServiceProblem, merge
from hopper.domain.service.problems import find_problems

_FIELD = re.compile(r"[A-Za-z]+")
_OPTIONAL = {
    "command": "command",
    "args": "args",
    "workingDir": "working_dir",
    "user": "user",
    "resources": "resources",
    "healthcheck": "healthcheck",
}


def vetted(spec: TemplateSpec, about: Reporter) -> TemplateSpec:
    """Return the template without the entries and fields that the operator would refuse."""
    while found := find_problems(merge(spec, None)):
        smaller = spec
        for problem in found:
            smaller = _without(smaller, problem, about)
        if smaller == spec:
            break
        spec = smaller
    return spec


def _without(spec: TemplateSpec, problem: ServiceProblem, about: Reporter) -> TemplateSpec:
    field = _FIELD.match(problem.field)
    kind = field[0] if field else ""
    change: dict[str, Any] = {}
    for entries in LIST_KINDS:
        if entries.wire == kind:
            kept = tuple(e for e in getattr(spec, entries.field) if not problem.field.startswith(entries.path(e)))
            change[entries.field] = kept
    if kind in _OPTIONAL:
        change[_OPTIONAL[kind]] = None
    if not change:
        about.problem(problem.field, f"the template's {kind} {problem.message}", "correct it in the compose file")
        return spec
    message, _, advice = problem.message.rpartition(": ")
    about.dropped(problem.field, f"in the template, it {message or problem.message}", advice[:1].upper() + advice[1:])
    return replace(spec, **change)
