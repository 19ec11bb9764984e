"""Problems of the container: image, process, resources, healthcheck, environment variables and total size."""

import re
from collections.abc import Iterable, Iterator, Sequence

from hopper.api.enums import SecurityProfile
from hopper.api.names import RESERVED_ENV
from hopper.api.service import EnvEntry, EnvSource
from hopper.api.template import ResourceAmounts, TemplateSpec
from hopper.domain.service.config_files import ConfigFile
from hopper.domain.service.environment import find_reference_cycle
from hopper.domain.service.merge import HEALTHCHECK, EffectiveService, ServiceProblem
from hopper.domain.service.problems.formats import container_path_error, process_text_error, source_errors
from hopper.domain.service.quantity import NANOS_PER_MILLI, NANOS_PER_UNIT, nanos

_MAX_ID = 2**31 - 1
_KIB = 1024
# Limit of the API server for the data of a ConfigMap or Secret.
_MAX_DATA = 1024 * _KIB
# Below the limit of the kernel for arguments and environment, and small enough for a Deployment of at most 1.5 MiB.
_MAX_PROCESS = 768 * _KIB

_REGISTRY = r"(?:[a-zA-Z0-9](?:[-a-zA-Z0-9.]*[a-zA-Z0-9])?(?::[0-9]+)?/)?"
_PATH_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"(?::\w[\w.-]{0,127})?"
_DIGEST = r"(?:@[A-Za-z][\w+.-]*:[0-9a-fA-F]{32,})?"
_IMAGE = re.compile(f"{_REGISTRY}{_PATH_PART}(?:/{_PATH_PART})*{_TAG}{_DIGEST}", re.ASCII)


def is_image(text: str) -> bool:
    """Whether a text is an image name, with or without registry, tag and digest."""
    return bool(_IMAGE.fullmatch(text))


def process_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    """Yield the problems of image, command, arguments, working directory, user and resources."""
    spec = effective.spec
    if not is_image(spec.image):
        yield ServiceProblem("image", "is not a valid image name: use a lower-case name such as nginx:1.27")
    for field, words in (("command", spec.command), ("args", spec.args)):
        for index, word in enumerate(words or ()):
            if error := process_text_error(word):
                yield ServiceProblem(f"{field}[{index}]", error)
    if spec.working_dir is not None and (error := container_path_error(spec.working_dir)):
        yield ServiceProblem("workingDir", error)
    yield from _user_problems(spec)
    yield from _resource_problems(spec)


def _user_problems(spec: TemplateSpec) -> Iterator[ServiceProblem]:
    if spec.user is None:
        return
    if any(int(number) > _MAX_ID for number in spec.user.split(":")):
        yield ServiceProblem("user", f"is too large: use numbers up to {_MAX_ID}")
    elif spec.security_profile is SecurityProfile.RESTRICTED:
        user, _, group = spec.user.partition(":")
        if int(user) == 0:
            yield ServiceProblem(
                "user", "is root: use another user, or set securityProfile Baseline if it must be root"
            )
        elif group and int(group) == 0:
            message = (
                f"has the group of root: use another group, such as {user}:{user}, or set securityProfile Baseline"
            )
            yield ServiceProblem("user", message)


def _resource_problems(spec: TemplateSpec) -> Iterator[ServiceProblem]:
    if spec.resources is None:
        return
    requests, limits = spec.resources.requests or ResourceAmounts(), spec.resources.limits or ResourceAmounts()
    for name, request, limit, unit in (
        ("cpu", requests.cpu, limits.cpu, NANOS_PER_MILLI),
        ("memory", requests.memory, limits.memory, NANOS_PER_UNIT),
    ):
        for kind, amount in (("requests", request), ("limits", limit)):
            if amount is not None and nanos(amount) % unit:
                smallest = "1m (a thousandth of a CPU)" if name == "cpu" else "1 byte"
                yield ServiceProblem(f"resources.{kind}.{name}", f"is not a multiple of {smallest}: round it")
        if request is not None and limit is not None and nanos(request) > nanos(limit):
            message = f"is higher than the limit of {limit}: lower the request or raise the limit"
            yield ServiceProblem(f"resources.requests.{name}", message)


def healthcheck_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    """Yield the problem of the healthcheck."""
    check = effective.spec.healthcheck
    if check is not None and (error := _test_error(check.test)):
        yield ServiceProblem(f"{HEALTHCHECK}.test", error, effective.origin(HEALTHCHECK))


def _test_error(test: tuple[str, ...]) -> str | None:
    if not test:
        return "is empty: set a test, [NONE] for no healthcheck, or $remove: true to remove the one of the template"
    kind, *words = test
    if error := next(filter(None, map(process_text_error, words)), None):
        return error
    match kind:
        case "NONE":
            return "has words after NONE: remove them" if words else None
        case "CMD":
            return None if words and words[0] else "has no program after CMD: add one"
        case "CMD-SHELL":
            is_one_line = len(words) == 1 and words[0].strip()
            return None if is_one_line else "needs one command line after CMD-SHELL: put the command into one string"
    return "does not begin with CMD, CMD-SHELL or NONE: begin it with one, as in [CMD-SHELL, curl localhost]"


def env_problems(effective: EffectiveService) -> Iterator[ServiceProblem]:
    """Yield the problems of environment variables. Messages name variables, never values."""
    for entry in effective.spec.env:
        path = f"env[{entry.name}]"
        origin = effective.origin(path)
        yield from (ServiceProblem(f"{path}{field}", error, origin) for field, error in _env_errors(entry))
    if cycle := find_reference_cycle(effective.spec.env):
        path = f"env[{cycle[0]}]"
        message = f"is part of a reference cycle, {' → '.join(cycle)}: remove one of the references"
        yield ServiceProblem(f"{path}.value", message, effective.origin(path))


def _env_errors(entry: EnvEntry) -> Iterator[tuple[str, str]]:
    reserved = next((prefix for prefix in RESERVED_ENV if entry.name.upper().startswith(prefix)), None)
    if reserved is not None:
        yield ".name", f"begins with the reserved prefix {reserved}: rename the variable"
    if entry.value is None and entry.value_from is None:
        yield "", "has neither value nor valueFrom: set one of them, or $remove: true to remove the template's entry"
    if entry.value is not None and entry.value_from is not None:
        yield ".valueFrom", "cannot be set together with value: remove one of them"
    if entry.value is not None and (error := process_text_error(entry.value)):
        yield ".value", error
    if entry.value_from is not None:
        yield from _env_source_errors(entry, entry.value_from)


def _env_source_errors(entry: EnvEntry, source: EnvSource) -> Iterator[tuple[str, str]]:
    if entry.secret and source.config_map_key_ref is not None:
        yield ".secret", "cannot be true for a value from a ConfigMap: use secretKeyRef, or remove secret"
    yield from source_errors(source, ".valueFrom")


def size_problems(effective: EffectiveService, files: Sequence[ConfigFile]) -> tuple[ServiceProblem, ...]:
    """Return the problems of total sizes, given the rendered files."""
    return tuple(_size_problems(effective, files))


def _size_problems(effective: EffectiveService, files: Sequence[ConfigFile]) -> Iterator[ServiceProblem]:
    spec = effective.spec
    config_size = _bytes_of(file.text for file in files if not file.secret)
    secret_size = _bytes_of(file.text for file in files if file.secret)
    secret_size += _env_size(entry for entry in spec.env if entry.secret)
    for kind, size in (("ConfigMap", config_size), ("Secret", secret_size)):
        if size > _MAX_DATA:
            message = f"need a {kind} of {size // _KIB} KiB, more than {_MAX_DATA // _KIB} KiB: use a volume"
            yield ServiceProblem("configFiles", message)
    process_size = _env_size(spec.env) + _bytes_of((*(spec.command or ()), *(spec.args or ())))
    if process_size > _MAX_PROCESS:
        sizes = f"{process_size // _KIB} KiB together with command and args, more than {_MAX_PROCESS // _KIB} KiB"
        yield ServiceProblem("env", f"has {sizes}: use a file")


def _env_size(entries: Iterable[EnvEntry]) -> int:
    return _bytes_of(text for entry in entries for text in (entry.name, entry.value or ""))


def _bytes_of(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)
