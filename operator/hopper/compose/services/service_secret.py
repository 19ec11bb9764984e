"""The Secret of one service, and references to variables in the fields of a template."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from hopper.api.service import EnvEntry, EnvSource, KeyRef

_GENERATED_PREFIX = "SECRET"
_MAX_KEY = 200
_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_DOLLARS = re.compile(r"\${2,}")


@dataclass(slots=True)
class ServiceSecret:
    """Secret of one service. `entries` holds a variable of the template for each key that is a variable."""

    name: str
    data: dict[str, str] = field(default_factory=dict)
    entries: dict[str, EnvEntry] = field(default_factory=dict)

    def add_variable(self, name: str, value: str) -> None:
        """Store the value of a variable."""
        self.data[name] = value
        self.entries[name] = EnvEntry(name=name, value_from=EnvSource(secret_key_ref=KeyRef(name=self.name, key=name)))

    def add_file(self, name: str, value: str, variables: set[str]) -> str:
        """Store the content of a file, and return its key, which differs from the names of all `variables`."""
        key = re.sub(r"[^-._A-Za-z0-9]", "-", name).lstrip(".")[:_MAX_KEY] or "secret"
        while key in variables or self.data.get(key, value) != value:
            key += ".file"
        self.data[key] = value
        return key

    def variable_for(self, value: str, hint: str, variables: set[str]) -> str:
        """Return the name of a variable with this value.

        If there is none, a variable is added whose name contains `hint` and differs from all `variables`.
        """
        for name in self.entries:
            if self.data.get(name) == value:
                return name
        suffix = re.sub(r"[^A-Z0-9]+", "_", hint.upper()).strip("_")[:64]
        stem = "_".join(filter(None, (_GENERATED_PREFIX, suffix)))
        name, number = stem, 1
        while name in self.data or name in variables:
            number += 1
            name = f"{stem}_{number}"
        self.add_variable(name, value)
        return name


def escape_references(text: str, variables: Collection[str]) -> str:
    """Return a text that Kubernetes expands to the original text.

    In values, commands and arguments, Kubernetes replaces `$(NAME)` by the value of a variable, and `$$` by `$`.
    Docker compose does neither. `variables` are the names known to Kubernetes; it leaves other references unchanged.
    """
    doubled = _DOLLARS.sub(lambda match: match[0] * 2, str(text))
    return _REFERENCE.sub(lambda match: f"${match[0]}" if match[1] in variables else match[0], doubled)
