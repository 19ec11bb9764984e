"""The Secret of one service: what it holds, and how the template refers to it."""

import re
from dataclasses import dataclass, field

from hopper.api.service import EnvEntry, EnvSource, KeyRef

_GENERATED = "SECRET"


@dataclass(slots=True)
class Vault:
    """Secret values by key. Keys that are also variables of the service are its `entries`."""

    name: str
    data: dict[str, str] = field(default_factory=dict)
    entries: dict[str, EnvEntry] = field(default_factory=dict)

    def variable(self, name: str, value: str) -> None:
        """Keep the value of a variable."""
        self.data[name] = value
        self.entries[name] = EnvEntry(name=name, value_from=EnvSource(secret_key_ref=KeyRef(name=self.name, key=name)))

    def file(self, name: str, value: str, taken: set[str]) -> str:
        """Keep a value that is no variable; return its key, which none of the `taken` variables has."""
        key = re.sub(r"[^-._A-Za-z0-9]", "-", name).lstrip(".")[:200] or "secret"
        while key in taken or self.data.get(key, value) != value:
            key += ".file"
        self.data[key] = value
        return key

    def reference(self, value: str, hint: str, taken: set[str]) -> str:
        """Return the variable that holds a value; a new one, called after `hint`, where there is none yet."""
        for name in self.entries:
            if self.data.get(name) == value:
                return name
        stem = "_".join(filter(None, (_GENERATED, re.sub(r"[^A-Z0-9]+", "_", hint.upper()).strip("_")[:64])))
        name, number = stem, 1
        while name in self.data or name in taken:
            number += 1
            name = f"{stem}_{number}"
        self.variable(name, value)
        return name
