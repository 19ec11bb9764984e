"""What is wrong with the healthcheck."""

from collections.abc import Iterator

from hopper.domain.service.merge import HEALTHCHECK, EffectiveService
from hopper.domain.service.problem import ServiceProblem
from hopper.domain.service.problems.forms import wrong_text


def health_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    check = effective.spec.healthcheck
    if check is not None and (wrong := _wrong_test(check.test)):
        yield ServiceProblem(f"{HEALTHCHECK}.test", wrong, effective.origin(HEALTHCHECK))


def _wrong_test(test: tuple[str, ...]) -> str | None:
    if not test:
        return "is empty: name a test, [NONE] for no healthcheck, or $remove: true to take an inherited one away"
    kind, *words = test
    if wrong := next(filter(None, map(wrong_text, words)), None):
        return wrong
    match kind:
        case "NONE":
            return "is NONE, which stands alone: remove what follows it" if words else None
        case "CMD":
            return None if words and words[0] else "has no program after CMD: add one"
        case "CMD-SHELL":
            one = len(words) == 1 and words[0].strip()
            return None if one else "takes one command line after CMD-SHELL: put all of it into one text"
    return "does not begin with CMD, CMD-SHELL or NONE: put one first, as in [CMD-SHELL, curl localhost]"
