"""How a service runs: user, restart, replicas, and what it waits for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from hopper.api.enums import DesiredState, RestartMode, SecurityProfile
from hopper.compose.names import object_name
from hopper.compose.project import Project
from hopper.compose.reading.merge import as_names
from hopper.compose.reading.syntax import seconds, switch
from hopper.compose.reading.text import as_text, is_blank, unresolved_in
from hopper.compose.section import Section

MAX_DEPENDENCIES = 64
_MAX_REPLICAS = 1000
_RESTART = {
    **dict.fromkeys(("no", "false", "none", "never"), RestartMode.NEVER),
    **dict.fromkeys(("always", "unless-stopped", "true", "any", "yes"), RestartMode.ALWAYS),
    "on-failure": RestartMode.ON_FAILURE,
}
_NUMBER = re.compile(r"\d{1,10}")
_NEEDS_STACK = "Import with --stack, or set it in each instance of the template"


@dataclass(frozen=True, slots=True)
class Restart:
    """A restart policy. What only an instance can have is in the last two."""

    mode: RestartMode | None = None
    max_retries: int | None = None
    backoff_seconds: int | None = None

    def as_policy(self) -> dict[str, Any] | None:
        """Return `spec.restartPolicy` of an instance; None where the template's mode says it all."""
        if self.mode is None or (self.max_retries is None and self.backoff_seconds is None):
            return None
        wire = {"policy": self.mode.value, "maxRetries": self.max_retries, "backoffSeconds": self.backoff_seconds}
        if self.backoff_seconds is not None and self.backoff_seconds > 300:
            wire["maxBackoffSeconds"] = self.backoff_seconds
        return {key: value for key, value in wire.items() if value is not None}


def convert_user(section: Section) -> tuple[str | None, SecurityProfile]:
    """Return the numeric user, and the security profile that fits."""
    raw = section.take("user")
    text = as_text(raw).strip()
    user = ":".join("0" if part == "root" else part for part in text.split(":"))
    if not text or is_blank(raw):
        user = ""
    elif not all(_NUMBER.fullmatch(part) for part in user.split(":", 1)):
        advice = "Set user in the template to its number, as `id` in a container of the image tells it"
        if not unresolved_in(raw):  # which is reported already
            section.about.dropped("user", "names of users mean something only inside of the image", advice)
        user = ""
    if user and int(user.partition(":")[0]):
        return user, SecurityProfile.RESTRICTED
    advice = "If the image can run as another user than root, set user and securityProfile: Restricted"
    section.about.note("securityProfile", f"{SecurityProfile.BASELINE.value}, as it may run as root", advice)
    return user or None, SecurityProfile.BASELINE


def convert_restart(section: Section, deploy: Section | None, *, stack: bool) -> Restart:
    """Return when it is restarted; `deploy.restart_policy` wins over `restart`."""
    raw = section.take("restart")
    result = _restart("restart", raw, section)
    policy = deploy.below("restart_policy") if deploy else None
    if policy is not None:
        policy.drop("window", "Hopper has no such window", "Remove it")
        mode = _restart(policy.key("condition"), policy.take("condition"), section).mode or RestartMode.ALWAYS
        retries = _whole(policy.take("max_attempts"), policy.key("max_attempts"), 1000, section)
        delay: Fraction | None = seconds(raw_delay) if (raw_delay := policy.take("delay")) is not None else None
        backoff = None if delay is None else min(ceil(delay), 86400)
        if raw_delay is not None and delay is None:
            section.about.problem(policy.key("delay"), "this is no duration", "write it as in 5s")
        policy.close()
        result = Restart(mode, retries, backoff)
    if not stack and (result.max_retries is not None or result.backoff_seconds is not None):
        key = "deploy.restart_policy" if policy is not None else "restart"
        section.about.dropped(key, "numbers of retries and delays belong to an instance", _NEEDS_STACK)
    return result


def convert_replicas(section: Section, deploy: Section | None, *, stack: bool) -> int | None:
    """Return how many pods an instance runs; None where the file does not say."""
    scale = _whole(section.take("scale"), "scale", _MAX_REPLICAS, section)
    replicas = _whole(deploy.take("replicas") if deploy else None, "deploy.replicas", _MAX_REPLICAS, section)
    wanted = replicas if replicas is not None else scale
    if wanted is not None and not stack:
        key = "deploy.replicas" if replicas is not None else "scale"
        section.about.dropped(key, "the number of pods belongs to an instance", _NEEDS_STACK)
    return wanted


def convert_profiles(section: Section, project: Project, *, stack: bool) -> DesiredState:
    """Return the state that an instance begins with: services with profiles that are not active start on demand."""
    names = _profiles(section.take("profiles"))
    if not names:
        return DesiredState.RUNNING
    listed = ", ".join(names)
    if _is_active(names, project):
        section.about.note("profiles", f"it belongs to {listed}, which COMPOSE_PROFILES makes active")
        return DesiredState.RUNNING
    if stack:
        section.about.changed(
            "profiles", f"the instance is made Stopped: it belongs to {listed}", "Set desiredState: Running to start it"
        )
    else:
        section.about.dropped("profiles", f"a template belongs to no profile ({listed})", "Make instances when wanted")
    return DesiredState.STOPPED


def convert_dependencies(service: str, section: Section, project: Project) -> tuple[str, ...]:
    """Return the names of the services to wait for, from `depends_on` and `links`."""
    raw = section.take("depends_on")
    wanted = as_names(raw if raw is not None else {})
    if wanted is None:
        section.about.problem("depends_on", "this is no list of services", "write `- name` lines")
        wanted = {}
    result: dict[str, None] = {}
    for name, details in wanted.items():
        if _waits(name, details if isinstance(details, Mapping) else {}, section, project):
            result[project.object_name(name) or object_name(name)] = None
    for name in _links(section, project):
        if name != service and (other := project.object_name(name)):
            result[other] = None
    names = list(result)
    for name in names[MAX_DEPENDENCIES:]:
        section.about.dropped(f"depends_on.{name}", f"there are more than {MAX_DEPENDENCIES}", "Depend on fewer")
    return tuple(names[:MAX_DEPENDENCIES])


def _profiles(raw: Any) -> list[str]:
    profiles = raw if isinstance(raw, list) else [] if raw is None else [raw]
    return [as_text(profile) for profile in profiles if profile is not None]


def _is_active(profiles: Sequence[str], project: Project) -> bool:
    """Tell whether a service of these profiles is started with the project, as one without any is."""
    active = {profile.strip() for profile in project.variables.get("COMPOSE_PROFILES", "").split(",")}
    return not profiles or "*" in active or not active.isdisjoint(profiles)


def _begins_stopped(name: str, project: Project) -> bool:
    raw = project.services.get(name)
    return isinstance(raw, Mapping) and not _is_active(_profiles(raw.get("profiles")), project)


def _waits(name: str, details: Mapping[str, Any], section: Section, project: Project) -> bool:
    inner = Section(details, section.about, f"depends_on.{name}")
    condition, required = as_text(inner.take("condition")), inner.take("required")
    if switch(inner.take("restart")):
        advice = "Restart it yourself: set spec.restartedAt of its instance"
        section.about.dropped(inner.key("restart"), "a restart of the other service restarts nothing here", advice)
    inner.close()
    if condition == "service_completed_successfully":
        advice = "Put that work into the image's start, or run it as a Job before"
        section.about.dropped(f"depends_on.{name}", "instances run on, so that none is ever completed", advice)
        if project.names.get(name):
            message = "others wait until it has completed; here it is started again whenever it ends"
            project.about.report.about(project.label, name).changed("restart", message, "Run it as a Job instead")
        return False
    if name in project.left_out:
        section.about.dropped(f"depends_on.{name}", "it is left out, so that nobody waits for it", "Set it up before")
        return False
    if _begins_stopped(name, project) and switch(required) is False:
        section.about.note(f"depends_on.{name}", "it is not required, and not waited for, as it begins Stopped")
        return False
    if project.object_name(name):
        return True
    if switch(required) is False:
        section.about.note(f"depends_on.{name}", "it is not required, and not among the services")
        return False
    advice = "Import it into the same stack, too, or remove it from dependsOn"
    section.about.note(f"depends_on.{name}", f"the instance waits for {name}, which is not imported here", advice)
    return True


def _links(section: Section, project: Project) -> list[str]:
    raw = section.take("links")
    names = []
    for item in raw if isinstance(raw, list) else []:
        name, _, alias = as_text(item).partition(":")
        if alias in ("", name):
            section.about.note("links", f"the instance waits for {name}, as by depends_on")
        else:
            advice = "Use the name of the other instance's Service"
            section.about.dropped("links", f"the name {alias} leads nowhere; only the order is kept", advice)
        names.append(name)
    return names


def _restart(key: str, raw: Any, section: Section) -> Restart:
    if raw is None or is_blank(raw):
        return Restart()
    word, _, number = as_text(raw).strip().lower().partition(":")
    if not word:
        return Restart()
    mode = _RESTART.get(word)
    if mode is None:
        section.about.problem(key, "this is no restart policy", 'write "no", always, on-failure or unless-stopped')
    retries = _whole(number or None, key, 1000, section)
    return Restart(mode, retries if mode is RestartMode.ON_FAILURE else None)


def _whole(raw: Any, key: str, most: int, section: Section) -> int | None:
    if raw is None or is_blank(raw):
        return None
    text = as_text(raw).strip()
    if not re.fullmatch(r"\d{1,9}", text):
        section.about.problem(key, "this is no whole number", "write one, such as 3")
        return None
    if int(text) > most:
        section.about.changed(key, f"it became {most}, the most there can be")
    return min(int(text), most)
