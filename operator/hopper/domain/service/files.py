"""The configuration files of a service: what is in them, and under which key of a ConfigMap or Secret they are kept."""

import re
from dataclasses import dataclass

from hopper.api.service import EnvSource
from hopper.domain.service.naming import short_hash

_PLAIN = re.compile(r"/[A-Za-z0-9._]+(/[A-Za-z0-9._]+)*")
_MAX_KEY = 253


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file as the container is to see it. One that holds a secret value is kept in the Secret.

    One with a `source` comes from a Secret or ConfigMap that exists already: its text is not known.
    """

    path: str
    text: str
    mode: int
    secret: bool = False
    source: EnvSource | None = None

    @property
    def key(self) -> str:
        """The key of its data: different paths have different keys, and none is a variable's name.

        It begins with `-`, from the first `/` of the path; a variable's name never does.
        """
        if _PLAIN.fullmatch(self.path) and len(self.path) <= _MAX_KEY:
            return self.path.replace("/", "-")
        label = re.sub("[^A-Za-z0-9._]+", "-", self.path)
        return f"-{label.strip('-')[: _MAX_KEY - 10]}-{short_hash(self.path)}"
