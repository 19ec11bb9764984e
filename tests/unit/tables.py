"""The tables and diagrams of the documentation, rendered from the definitions that the code itself runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any

import typer
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter

from hopper.api.conditions import ConditionType, Reason
from hopper.api.config import SCOPE_CONFIG, ConfigField
from hopper.api.enums import DesiredState, Health, Phase, Scope
from hopper.api.heartbeat import SHARDS
from hopper.api.instance import HISTORY_LIMIT, HopperInstance, InstanceSpec, InstanceStatus, Metadata, RestartPolicy
from hopper.api.scopes import SCOPES, allowed_children
from hopper.cli.main import app
from hopper.controller.election import Timing
from hopper.controller.fanout import SUMMARY_DELAY
from hopper.controller.hooks import TIMEOUT_SECONDS
from hopper.controller.metrics import OperatorMetrics
from hopper.controller.operator import OperatorOptions
from hopper.domain.actions import Action, rule
from hopper.domain.checks import DETAILS_AFTER_SECONDS
from hopper.domain.heartbeat import LOST_AFTER
from hopper.domain.lifecycle import INHERITED, TARGET_PHASE, TRANSITIONS, next_phase
from hopper.domain.planner import FIRST_STATUS_DELAY_SECONDS
from hopper.domain.walk import HOOK_RETRY_SECONDS
from hopper.gateway.discovery import Criteria, EventKind
from hopper.gateway.discovery.heartbeat_writer import LONGEST_PRESENCE_SECONDS, TICK_SECONDS
from hopper.gateway.discovery.journal import CAPACITY
from hopper.gateway.http.metrics import Metrics as GatewayMetrics
from hopper.registry.heartbeats import STALE_SECONDS
from tests.unit import glossary

Row = tuple[str, ...]


def table(header: Row, rows: Iterable[Row]) -> str:
    """Return a Markdown table."""
    head, *body = (f"| {' | '.join(cells)} |" for cells in (header, *rows))
    return "\n".join((head, "|" + "---|" * len(header), *body)) + "\n"


def mermaid(kind: str, lines: Iterable[str]) -> str:
    """Return a Mermaid diagram, fenced."""
    return "\n".join(("```mermaid", kind, *(f"    {line}" for line in lines), "```")) + "\n"


def lifecycle() -> str:
    return table(("from", "to"), ((phase, ", ".join(targets) or "none") for phase, targets in TRANSITIONS.items()))


def lifecycle_diagram() -> str:
    return mermaid("flowchart LR", _arrows(TRANSITIONS))


def ways() -> str:
    """The way to each desired state from the phases where an instance may stay."""
    starts = (Phase.CREATED, Phase.RUNNING, Phase.STOPPED, Phase.ERROR)
    rows = (
        (f"`{goal}`", *(" → ".join(_steps(start, goal)) or "is there" for start in starts)) for goal in DesiredState
    )
    return table(("`desiredState`", *(f"from {start}" for start in starts)), rows)


def _steps(phase: Phase, goal: DesiredState) -> Iterator[str]:
    step: Phase | None = phase
    while step and (step := next_phase(step, goal)):
        yield step


def inherited() -> str:
    rows = ((f"`{state}`", f"`{below}`") for state, below in INHERITED.items())
    return table(("an ancestor wants", "everything below it is held at least at"), rows)


def scopes() -> str:
    header = ("scope", "allowed parent", "allowed children", "default type")
    return table(header, ((scope, _parents(scope), _children(scope), SCOPES[scope].default_type) for scope in SCOPES))


def _parents(scope: Scope) -> str:
    names = [*SCOPES[scope].parents]
    if SCOPES[scope].may_be_root:
        return " or ".join((", ".join(names), "none")) if names else "none"
    return f"{', '.join(names[:-1])} or {names[-1]}: required"


def _children(scope: Scope) -> str:
    return ", ".join(allowed_children(scope)) or "none"


def scopes_diagram() -> str:
    return mermaid("flowchart TD", _arrows({scope: allowed_children(scope) for scope in SCOPES}))


def _arrows(targets: Mapping[Any, Sequence[str]]) -> Iterator[str]:
    return (f"{source} --> {' & '.join(reached)}" for source, reached in targets.items() if reached)


def configuration() -> str:
    """One row a field, one column for the scopes that agree on all of them."""
    columns: list[list[Scope]] = []
    for scope in SCOPES:
        alike = next((column for column in columns if SCOPE_CONFIG[column[0]] == SCOPE_CONFIG[scope]), None)
        if alike is None:
            columns.append(alike := [])
        alike.append(scope)
    paths = dict.fromkeys(path for config in SCOPE_CONFIG.values() for path in config.fields)
    rows = ((f"`{path}`", *(_cell(SCOPE_CONFIG[column[0]].fields.get(path)) for column in columns)) for path in paths)
    return table(("field", *(", ".join(column) for column in columns)), rows)


def _cell(field: ConfigField | None) -> str:
    if field is None:
        return "-"
    words = {"None": "no limit", "True": "true", "False": "false", "[]": "empty", "{}": "empty"}
    default = words.get(str(field.default), str(field.default))
    return default + {"value": " ↑", "minimum": " ↓", None: ""}[field.inherit]


def restart_policy() -> str:
    properties: dict[str, Any] = TypeAdapter(RestartPolicy).json_schema()["properties"]
    rows = ((f"`{name}`", f"{it['default']}", it["description"]) for name, it in properties.items())
    return table(("field", "default", "meaning"), rows)


def operator_flags() -> str:
    return _flags("operator")


def gateway_flags() -> str:
    return _flags("gateway")


def _flags(command: str) -> str:
    group: Any = typer.main.get_command(app)
    options = (it for it in group.commands[command].commands["run"].params if it.name != "help")
    return table(("flag", "meaning"), ((", ".join(f"`{name}`" for name in it.opts), _flag(it)) for it in options))


def _flag(option: Any) -> str:
    if isinstance(option.default, Enum):
        return f"{option.help} One of {', '.join(it.value for it in type(option.default))}."
    return option.help if option.default in (None, False) else f"{option.help} Default: {option.default}."


def metrics() -> str:
    """The metrics of an operator that knows one instance."""
    shown = OperatorMetrics()
    metadata = Metadata(name="web", namespace="default", uid="1", creation_timestamp=datetime.now(UTC))
    shown.watch_instances([HopperInstance(metadata=metadata, spec=InstanceSpec(scope=Scope.PROJECT))])
    shown.watch_queue(lambda: 0, lambda: 0)
    shown.watch_leadership(lambda: True)
    return _metrics(shown)


def gateway_metrics() -> str:
    """The metrics of a gateway."""
    shown = GatewayMetrics()
    shown.watch(instances=lambda: 0, streams=lambda: 0)
    shown.seconds.labels("/metrics").observe(0)
    return _metrics(shown)


def _metrics(shown: OperatorMetrics | GatewayMetrics) -> str:
    families = text_string_to_metric_families(shown.render().decode())
    rows = [_metric(family, shown) for family in families if family.name.startswith("hopper_")]
    return table(("metric", "kind", "labels", "meaning"), sorted(rows))


def action_codes() -> str:
    """What each action is answered where an instance has come to rest."""
    codes = {"allowed": "200", "illegal": "400", "already": "409"}

    def row(state: DesiredState) -> Row:
        metadata = Metadata(name="web", namespace="default", uid="1", creation_timestamp=datetime.now(UTC))
        spec, status = InstanceSpec(scope=Scope.PROJECT, desired_state=state), InstanceStatus(phase=TARGET_PHASE[state])
        it = HopperInstance(metadata=metadata, spec=spec, status=status)
        return f"{TARGET_PHASE[state].lower()}", *(codes[rule(action, it).verdict] for action in Action)

    return table(("status", *(f"`{action}`" for action in Action)), map(row, DesiredState))


def _metric(family: Any, shown: OperatorMetrics | GatewayMetrics) -> Row:
    # What has labels shows them only once it has counted something.
    declared = {getattr(it, "_name", ""): getattr(it, "_labelnames", ()) for it in vars(shown).values()}
    labels = declared.get(family.name) or {name for sample in family.samples for name in sample.labels} - {"le"}
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return f"`{name}`", family.type, ", ".join(f"`{it}`" for it in sorted(labels)), family.documentation


def timing() -> str:
    lease, options = Timing(), OperatorOptions()
    rows = (
        ("a newcomer's first status waits for its parent, if that is all it waits for", FIRST_STATUS_DELAY_SECONDS),
        ("a parent's count of its children may be behind", SUMMARY_DELAY),
        ("a wait is named in detail (which pods, which children) after", DETAILS_AFTER_SECONDS),
        ("a hook may take", TIMEOUT_SECONDS),
        ("a refused stop, pause or resume is tried again after", HOOK_RETRY_SECONDS),
        ("everything is looked at again every", options.resync_seconds),
        ("the Lease of a crashed operator runs out after", lease.lease),
        ("an operator that cannot renew its Lease ends after", lease.renew),
    )
    counted = (("transitions kept in `status.history`", str(HISTORY_LIMIT)),
               ("instances reconciled at the same time", str(options.concurrency)))  # fmt: skip
    return table(("what", "value"), (*((what, f"{seconds:g} s") for what, seconds in rows), *counted))


def heartbeats() -> str:
    rows = (
        ("ConfigMaps of heartbeats a namespace", str(SHARDS)),
        ("a gateway writes to each of them at most every", f"{TICK_SECONDS:g} s"),
        ("where heartbeats are expected, it says that it listens at least every", f"{LONGEST_PRESENCE_SECONDS:g} s"),
        ("a gateway that has told nothing for so long, while another has, is taken for gone", f"{STALE_SECONDS:g} s"),
        ("an instance is in Error after so many times its `timeoutSeconds`", str(LOST_AFTER)),
        ("events kept in the journal", f"{CAPACITY:,}"),
    )
    return table(("what", "value"), rows)


# Block → what has to stand in it.
TABLES: dict[str, Callable[[], str]] = {
    "lifecycle": lifecycle,
    "lifecycle-diagram": lifecycle_diagram,
    "ways": ways,
    "inherited": inherited,
    "scopes": scopes,
    "scopes-diagram": scopes_diagram,
    "configuration": configuration,
    "restart-policy": restart_policy,
    "operator-flags": operator_flags,
    "gateway-flags": gateway_flags,
    "gateway-metrics": gateway_metrics,
    "action-codes": action_codes,
    "metrics": metrics,
    "timing": timing,
    "heartbeats": heartbeats,
    "glossary-reasons": glossary.reason_words,
    "glossary-fields": lambda: table(("kind", "field", "meaning"), glossary.field_rows()),
    "glossary-commands": lambda: table(("command", "meaning"), glossary.command_rows()),
}

# Block → whose members have a row each in it; what the row says is written by hand.
MEMBERS: dict[str, type[StrEnum]] = {
    "phases": Phase,
    "conditions": ConditionType,
    "reasons": Reason,
    "health": Health,
    "events": EventKind,
    "criteria": StrEnum("Field", [(name, name) for name in Criteria.__dataclass_fields__]),
}
