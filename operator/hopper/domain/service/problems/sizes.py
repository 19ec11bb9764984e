"""What is too much, taken together: objects have a limit in the cluster, and processes in the kernel."""

from collections.abc import Iterable, Iterator, Sequence

from hopper.api.service import EnvEntry
from hopper.domain.service.files import ConfigFile
from hopper.domain.service.merge import EffectiveService
from hopper.domain.service.problem import ServiceProblem

# The API server's limit for the data of a ConfigMap or Secret.
MAX_DATA = 1024 * 1024
# Below the kernel's limit for arguments and environment, and with room in a Deployment of at most 1.5 MiB.
MAX_PROCESS = 768 * 1024


def size_problems(effective: EffectiveService, files: Sequence[ConfigFile]) -> tuple[ServiceProblem, ...]:
    """Return what is too large in total, given the files as they are after rendering."""
    return tuple(_size_problems(effective, files))


def _size_problems(effective: EffectiveService, files: Sequence[ConfigFile]) -> Iterator[ServiceProblem]:
    spec = effective.spec
    secret = _bytes(file.text for file in files if file.secret) + _size(entry for entry in spec.env if entry.secret)
    for what, size in (("ConfigMap", _bytes(file.text for file in files if not file.secret)), ("Secret", secret)):
        if size > MAX_DATA:
            message = f"together make a {what} of {size // 1024} KiB, {MAX_DATA // 1024} are possible: use a volume"
            yield ServiceProblem("configFiles", message)
    process = _size(spec.env) + _bytes((*(spec.command or ()), *(spec.args or ())))
    if process > MAX_PROCESS:
        message = f"and the arguments come to {process // 1024} KiB, {MAX_PROCESS // 1024} are possible: use a file"
        yield ServiceProblem("env", message)


def _size(entries: Iterable[EnvEntry]) -> int:
    return _bytes(text for entry in entries for text in (entry.name, entry.value or ""))


def _bytes(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)
