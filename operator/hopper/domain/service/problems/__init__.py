"""Validation of an effective service: every reason why it cannot run or must not run.

The API server rejects most of these problems on write, by the CRD schema and its rules. They are checked here again for
three reasons. A valid template and a valid override can be invalid together. An object can be older than a rule. And
`hopper render` reads files that no API server has validated. Patterns and limits of single fields are not checked here:
the models check them whenever an object is read.
"""

from collections.abc import Callable, Iterator

from hopper.domain.service.merge import EffectiveService, ServiceProblem
from hopper.domain.service.problems.container import (
    env_problems,
    healthcheck_problems,
    process_problems,
    size_problems,
)
from hopper.domain.service.problems.network import domain_problems, label_problems, port_problems
from hopper.domain.service.problems.storage import file_problems, volume_problems

__all__ = ["find_problems", "size_problems"]

_CHECKS: tuple[Callable[[EffectiveService], Iterator[ServiceProblem]], ...] = (
    process_problems,
    port_problems,
    volume_problems,
    env_problems,
    label_problems,
    domain_problems,
    healthcheck_problems,
    file_problems,
)


def find_problems(effective: EffectiveService) -> tuple[ServiceProblem, ...]:
    """Return the problems of an effective service in the order of its fields, empty if it can run."""
    return (*effective.problems, *(problem for check in _CHECKS for problem in check(effective)))
