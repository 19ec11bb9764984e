"""Everything about an effective service that must not or cannot run, each naming its field and what to do.

The API server refuses much of it when it is written, by the schema and its rules. But a template and an override that
are both fine may not be so together, an object may be older than a rule, and a file on the way through `hopper render`
has met no API server. So what the rules say is checked here as well; patterns and limits of single fields are checked
wherever an object is read, by the models.
"""

from collections.abc import Callable, Iterator

from hopper.domain.service.merge import EffectiveService
from hopper.domain.service.problem import ServiceProblem
from hopper.domain.service.problems.environment import variable_problems
from hopper.domain.service.problems.files import file_problems
from hopper.domain.service.problems.health import health_problems
from hopper.domain.service.problems.labels import label_problems
from hopper.domain.service.problems.network import domain_problems, port_problems
from hopper.domain.service.problems.process import process_problems
from hopper.domain.service.problems.sizes import size_problems
from hopper.domain.service.problems.volumes import volume_problems

__all__ = ["problems", "size_problems"]

_CHECKS: tuple[Callable[[EffectiveService], Iterator[ServiceProblem]], ...] = (
    process_problems,
    port_problems,
    volume_problems,
    variable_problems,
    label_problems,
    domain_problems,
    health_problems,
    file_problems,
)


def problems(effective: EffectiveService) -> tuple[ServiceProblem, ...]:
    """Return what is wrong with a service, in the order of its fields; empty where it can run."""
    return (*effective.problems, *(problem for check in _CHECKS for problem in check(effective)))
