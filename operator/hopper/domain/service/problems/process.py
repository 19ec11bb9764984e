"""What is wrong with the image and the process: what it is, as whom it runs, how much it takes."""

import re
from collections.abc import Iterator

from hopper.api.enums import SecurityProfile
from hopper.api.template import ResourceAmounts, TemplateSpec
from hopper.domain.service.merge import EffectiveService
from hopper.domain.service.problem import ServiceProblem
from hopper.domain.service.problems.forms import wrong_path, wrong_text
from hopper.domain.service.quantity import nanos

_MAX_ID = 2**31 - 1
_NANO = 10**9
_MILLI = 10**6
_HOST = r"(?:[a-zA-Z0-9](?:[-a-zA-Z0-9.]*[a-zA-Z0-9])?(?::[0-9]+)?/)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"(?::\w[\w.-]{0,127})?"
_DIGEST = r"(?:@[A-Za-z][\w+.-]*:[0-9a-fA-F]{32,})?"
_IMAGE = re.compile(f"{_HOST}{_PART}(?:/{_PART})*{_TAG}{_DIGEST}", re.ASCII)


def is_image(text: str) -> bool:
    """Tell whether a text is the name of an image."""
    return bool(_IMAGE.fullmatch(text))


def process_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    spec = effective.spec
    if not is_image(spec.image):
        yield ServiceProblem("image", "is not the name of an image: write a name such as nginx:1.27, in lower case")
    for field, words in (("command", spec.command), ("args", spec.args)):
        for index, word in enumerate(words or ()):
            if wrong := wrong_text(word):
                yield ServiceProblem(f"{field}[{index}]", wrong)
    if spec.working_dir is not None and (wrong := wrong_path(spec.working_dir)):
        yield ServiceProblem("workingDir", wrong)
    yield from _user(spec)
    yield from _resources(spec)


def _user(spec: TemplateSpec) -> Iterator[ServiceProblem]:
    if spec.user is None:
        return
    if any(int(number) > _MAX_ID for number in spec.user.split(":")):
        yield ServiceProblem("user", f"is too large: use numbers up to {_MAX_ID}")
    elif int(spec.user.split(":")[0]) == 0 and spec.security_profile is SecurityProfile.RESTRICTED:
        yield ServiceProblem(
            "user", "is root: set another user, or securityProfile: Baseline for an image that needs root"
        )


def _resources(spec: TemplateSpec) -> Iterator[ServiceProblem]:
    if spec.resources is None:
        return
    requests, limits = spec.resources.requests or ResourceAmounts(), spec.resources.limits or ResourceAmounts()
    for name, request, limit, unit in (
        ("cpu", requests.cpu, limits.cpu, _MILLI),
        ("memory", requests.memory, limits.memory, _NANO),
    ):
        for kind, amount in (("requests", request), ("limits", limit)):
            if amount is not None and nanos(amount) % unit:
                least = "1m, a thousandth of a CPU" if name == "cpu" else "a byte"
                yield ServiceProblem(f"resources.{kind}.{name}", f"is more precise than {least}: round it")
        if request is not None and limit is not None and nanos(request) > nanos(limit):
            yield ServiceProblem(
                f"resources.requests.{name}", f"is above the limit of {limit}: lower it or raise the limit"
            )
