"""placeholder"""

from hopper.domain.service.files import ConfigFile
from hopper.domain.service.merge import Effective
from hopper.domain.service.problem import Problem


def problems(effective: Effective) -> tuple[Problem, ...]:
    return effective.problems


def size_problems(effective: Effective, files: tuple[ConfigFile, ...]) -> tuple[Problem, ...]:
    return ()
