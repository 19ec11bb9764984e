"""Says which variables had no value, and where."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hopper.compose.reading.text import Text
from hopper.compose.report import Reporter
from hopper.compose.section import EXTENSION

_SHOWN = 8
_ASSIGNED = frozenset({"environment", "labels"})
_NAME = re.compile(r"([A-Za-z_][\w.-]*)=")


@dataclass(frozen=True, slots=True)
class Use:
    """A place in a model, and the string that variables made there."""

    place: tuple[str, ...]
    value: Text

    @property
    def service(self) -> str | None:
        """The service that it belongs to, if it does."""
        return self.place[1] if self.place[0] == "services" and len(self.place) > 2 else None

    @property
    def key(self) -> str:
        """The place within the service, or within the file; a variable of a list goes by its name."""
        if self.service and self.place[2] in _ASSIGNED and len(self.place) == 4 and (name := _NAME.match(self.value)):
            return f"{self.place[2]}.{name[1]}"
        return ".".join(self.place[2:] if self.service else self.place).replace(".[", "[")


def report_variables(uses: Iterable[Use], reporter: Reporter) -> None:
    """Report the variables without a value, each once for a service, and every `$` that begins no variable."""
    missing: dict[tuple[str | None, str], list[str]] = {}
    for use in uses:
        if use.place[0].startswith(EXTENSION):
            continue
        for name in use.value.unresolved:
            missing.setdefault((use.service, name), []).append(use.key)
        if use.value.malformed:
            about = reporter.report.about(reporter.file, use.service or reporter.service)
            about.changed(use.key, "a $ in it begins no variable, and was kept", "Docker compose asks for $$ there")
    for (service, name), keys in missing.items():
        shown = ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")
        about = reporter.report.about(reporter.file, service or reporter.service)
        advice = "Set it in .env beside the compose file, or let --env take it from the environment"
        about.dropped(shown, f"the variable {name} has no value", advice)
