"""Conversion of `restart`, `scale`, `profiles` and their counterparts in `deploy`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from hopper.api.enums import DesiredState, RestartMode
from hopper.compose.project import ComposeProject
from hopper.compose.reading.short_syntax import parse_seconds
from hopper.compose.reading.tracked_text import as_text, is_blank
from hopper.compose.section import Section

_MAX_REPLICAS = 1000
_MAX_RETRIES = 1000
_MAX_DELAY = 86400
# Default of `spec.restartPolicy.maxBackoffSeconds`.
_DEFAULT_MAX_BACKOFF = 300
_RESTART_MODES = {
    **dict.fromkeys(("no", "false", "none", "never"), RestartMode.NEVER),
    **dict.fromkeys(("always", "unless-stopped", "true", "any", "yes"), RestartMode.ALWAYS),
    "on-failure": RestartMode.ON_FAILURE,
}
_NEEDS_STACK = "Import with --stack, or set it in each instance that uses the template"


@dataclass(frozen=True, slots=True)
class RestartSettings:
    """Restart settings of a service. Only an instance can have `max_retries` and `backoff_seconds`."""

    mode: RestartMode | None = None
    max_retries: int | None = None
    backoff_seconds: int | None = None

    def as_policy(self) -> dict[str, Any] | None:
        """Return `spec.restartPolicy` of an instance, or None if the mode in the template is enough."""
        if self.mode is None or (self.max_retries is None and self.backoff_seconds is None):
            return None
        policy = {"policy": self.mode.value, "maxRetries": self.max_retries, "backoffSeconds": self.backoff_seconds}
        if self.backoff_seconds is not None and self.backoff_seconds > _DEFAULT_MAX_BACKOFF:
            policy["maxBackoffSeconds"] = self.backoff_seconds
        return {key: value for key, value in policy.items() if value is not None}


def convert_restart(section: Section, deploy: Section | None, *, stack: bool) -> RestartSettings:
    """Return the restart settings; `deploy.restart_policy` takes precedence over `restart`."""
    settings = _parse_restart("restart", section.take("restart"), section)
    policy = deploy.below("restart_policy") if deploy else None
    if policy is not None:
        settings = _convert_restart_policy(policy)
    if not stack and (settings.max_retries is not None or settings.backoff_seconds is not None):
        key = "deploy.restart_policy" if policy is not None else "restart"
        message = "retries and delays are settings of an instance, not of a template"
        section.reporter.dropped(key, message, _NEEDS_STACK)
    return settings


def convert_replicas(section: Section, deploy: Section | None, *, stack: bool) -> int | None:
    """Return the number of pods of an instance, or None if the file does not set it."""
    scale = _parse_count(section.take("scale"), "scale", _MAX_REPLICAS, section)
    replicas = _parse_count(deploy.take("replicas") if deploy else None, "deploy.replicas", _MAX_REPLICAS, section)
    count = replicas if replicas is not None else scale
    if count is not None and not stack:
        key = "deploy.replicas" if replicas is not None else "scale"
        message = "the number of pods is a setting of an instance, not of a template"
        section.reporter.dropped(key, message, _NEEDS_STACK)
    return count


def convert_profiles(section: Section, project: ComposeProject, *, stack: bool) -> DesiredState:
    """Return the desired state of a new instance: Stopped if the service has profiles and none is active."""
    profiles = parse_profiles(section.take("profiles"))
    if not profiles:
        return DesiredState.RUNNING
    listed = ", ".join(profiles)
    if is_started_with_project(profiles, project):
        section.reporter.note("profiles", f"COMPOSE_PROFILES activates a profile of the service ({listed})")
        return DesiredState.RUNNING
    if stack:
        message = f"the instance starts Stopped, because none of its profiles is active ({listed})"
        section.reporter.changed("profiles", message, "To start it, set desiredState: Running")
    else:
        advice = "Create instances of the template when you need them"
        section.reporter.dropped("profiles", f"a template has no profiles ({listed})", advice)
    return DesiredState.STOPPED


def parse_profiles(raw: Any) -> list[str]:
    """Return the names in `profiles`."""
    profiles = raw if isinstance(raw, list) else [] if raw is None else [raw]
    return [as_text(profile) for profile in profiles if profile is not None]


def is_started_with_project(profiles: Sequence[str], project: ComposeProject) -> bool:
    """Whether docker compose starts a service with these profiles; it always starts services without profiles."""
    active = {profile.strip() for profile in project.variables.get("COMPOSE_PROFILES", "").split(",")}
    return not profiles or "*" in active or not active.isdisjoint(profiles)


def _convert_restart_policy(policy: Section) -> RestartSettings:
    policy.drop("window", "Hopper does not support a restart window", "Remove it")
    mode = _parse_restart(policy.key("condition"), policy.take("condition"), policy).mode or RestartMode.ALWAYS
    retries = _parse_count(policy.take("max_attempts"), policy.key("max_attempts"), _MAX_RETRIES, policy)
    raw_delay = policy.take("delay")
    delay = parse_seconds(raw_delay) if raw_delay is not None else None
    if raw_delay is not None and delay is None:
        policy.reporter.problem(policy.key("delay"), "the value is not a duration", "write it as in 5s")
    policy.close()
    return RestartSettings(mode, retries, None if delay is None else min(ceil(delay), _MAX_DELAY))


def _parse_restart(key: str, raw: Any, section: Section) -> RestartSettings:
    if raw is None or is_blank(raw):
        return RestartSettings()
    word, _, number = as_text(raw).strip().lower().partition(":")
    if not word:
        return RestartSettings()
    mode = _RESTART_MODES.get(word)
    if mode is None:
        fix = 'write "no", always, on-failure or unless-stopped'
        section.reporter.problem(key, "the value is not a restart policy", fix)
    retries = _parse_count(number or None, key, _MAX_RETRIES, section)
    return RestartSettings(mode, retries if mode is RestartMode.ON_FAILURE else None)


def _parse_count(raw: Any, key: str, most: int, section: Section) -> int | None:
    if raw is None or is_blank(raw):
        return None
    text = as_text(raw).strip()
    if not re.fullmatch(r"\d{1,9}", text):
        section.reporter.problem(key, "the value is not a whole number", "write a number such as 3")
        return None
    if int(text) > most:
        section.reporter.changed(key, f"the value became {most}, the maximum")
    return min(int(text), most)
