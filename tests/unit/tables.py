"""Tables and diagrams of the documentation, rendered from the definitions in the code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any

import typer
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter

from hopper.api.conditions import ConditionType, Reason
from hopper.api.enums import DesiredState, Health, Phase, Scope
from hopper.api.heartbeat import SHARDS
from hopper.api.instance import HISTORY_LIMIT, HopperInstance, InstanceSpec, InstanceStatus, RestartPolicy
from hopper.api.model import Metadata
from hopper.api.scopes import SCOPE_CONFIG, SCOPES, ConfigField, allowed_children
from hopper.cli.main import app
from hopper.controller.election import LeaseTiming
from hopper.controller.fanout import SUMMARY_DELAY
from hopper.controller.hooks import TIMEOUT_SECONDS
from hopper.controller.monitoring import OperatorMetrics
from hopper.controller.operator import OperatorOptions
from hopper.domain.actions import Action, check_action
from hopper.domain.checks import DETAILS_AFTER_SECONDS
from hopper.domain.heartbeat import LOST_AFTER
from hopper.domain.lifecycle import INHERITED, TARGET_PHASE, TRANSITIONS, next_phase
from hopper.domain.planner import FIRST_STATUS_DELAY_SECONDS
from hopper.domain.walk import HOOK_RETRY_SECONDS
from hopper.gateway.discovery import Criteria, EventKind
from hopper.gateway.discovery.heartbeat_writer import LONGEST_PRESENCE_SECONDS, TICK_SECONDS
from hopper.gateway.discovery.journal import CAPACITY
from hopper.gateway.http.observability import GatewayMetrics
from hopper.registry.heartbeats import GATEWAY_TIMEOUT_SECONDS
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


def paths_to_desired_states() -> str:
    """Return the path to each desired state from the phases in which an instance can stay."""
    starts = (Phase.CREATED, Phase.RUNNING, Phase.STOPPED, Phase.ERROR)
    rows = (
        (f"`{goal}`", *(" → ".join(_steps(start, goal)) or "already there" for start in starts))
        for goal in DesiredState
    )
    return table(("`desiredState`", *(f"from {start}" for start in starts)), rows)


def _steps(phase: Phase, goal: DesiredState) -> Iterator[str]:
    step: Phase | None = phase
    while step and (step := next_phase(step, goal)):
        yield step


def inherited() -> str:
    rows = ((f"`{state}`", f"`{below}`") for state, below in INHERITED.items())
    return table(("desired state of an ancestor", "least restrictive effective state of its descendants"), rows)


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
    """Return a table with a row per field. Scopes with equal settings share a column."""
    columns: list[list[Scope]] = []
    for scope in SCOPES:
        shared = next((column for column in columns if SCOPE_CONFIG[column[0]] == SCOPE_CONFIG[scope]), None)
        if shared is None:
            columns.append(shared := [])
        shared.append(scope)
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
    rows = ((f"`{name}`", f"{field['default']}", field["description"]) for name, field in properties.items())
    return table(("field", "default", "meaning"), rows)


def operator_flags() -> str:
    return _flags("operator")


def gateway_flags() -> str:
    return _flags("gateway")


def _flags(command: str) -> str:
    group: Any = typer.main.get_command(app)
    options = (option for option in group.commands[command].commands["run"].params if option.name != "help")
    rows = ((", ".join(f"`{name}`" for name in option.opts), _flag(option)) for option in options)
    return table(("flag", "meaning"), rows)


def _flag(option: Any) -> str:
    if isinstance(option.default, Enum):
        return f"{option.help} One of {', '.join(value.value for value in type(option.default))}."
    return option.help if option.default in (None, False) else f"{option.help} Default: {option.default}."


def metrics() -> str:
    """Return the metrics of an operator with one instance."""
    shown = OperatorMetrics()
    metadata = Metadata(name="web", namespace="default", uid="1", creation_timestamp=datetime.now(UTC))
    shown.watch_instances([HopperInstance(metadata=metadata, spec=InstanceSpec(scope=Scope.PROJECT))])
    shown.watch_queue(lambda: 0, lambda: 0)
    shown.watch_leadership(lambda: True)
    return _metrics(shown)


def gateway_metrics() -> str:
    """Return the metrics of a gateway."""
    shown = GatewayMetrics()
    shown.add_gauges(instances=lambda: 0, streams=lambda: 0, connections=lambda: 0)
    shown.request_seconds.labels("/metrics").observe(0)
    return _metrics(shown)


def _metrics(shown: OperatorMetrics | GatewayMetrics) -> str:
    families = text_string_to_metric_families(shown.render().decode())
    rows = [_metric(family, shown) for family in families if family.name.startswith("hopper_")]
    return table(("metric", "kind", "labels", "meaning"), sorted(rows))


def action_codes() -> str:
    """Return the status code of each action in each phase in which an instance can stay."""
    codes = {"allowed": "200", "illegal": "400", "already": "409"}

    def row(state: DesiredState) -> Row:
        metadata = Metadata(name="web", namespace="default", uid="1", creation_timestamp=datetime.now(UTC))
        spec, status = InstanceSpec(scope=Scope.PROJECT, desired_state=state), InstanceStatus(phase=TARGET_PHASE[state])
        instance = HopperInstance(metadata=metadata, spec=spec, status=status)
        return f"{TARGET_PHASE[state].lower()}", *(codes[check_action(action, instance).verdict] for action in Action)

    return table(("status", *(f"`{action}`" for action in Action)), map(row, DesiredState))


def _metric(family: Any, shown: OperatorMetrics | GatewayMetrics) -> Row:
    # A metric with labels exposes them only after its first sample.
    declared = {getattr(metric, "_name", ""): getattr(metric, "_labelnames", ()) for metric in vars(shown).values()}
    labels = declared.get(family.name) or {name for sample in family.samples for name in sample.labels} - {"le"}
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return f"`{name}`", family.type, ", ".join(f"`{label}`" for label in sorted(labels)), family.documentation


def timing() -> str:
    lease, options = LeaseTiming(), OperatorOptions()
    rows = (
        ("longest delay of the first status of an instance that waits only for its parent", FIRST_STATUS_DELAY_SECONDS),
        ("longest delay of `status.children`", SUMMARY_DELAY),
        ("time after which messages name the pods or children that an instance waits for", DETAILS_AFTER_SECONDS),
        ("timeout of a hook", TIMEOUT_SECONDS),
        ("time between tries of a stop, pause or resume that a hook rejects", HOOK_RETRY_SECONDS),
        ("time between two resyncs", options.resync_seconds),
        ("time until the Lease of a crashed operator expires", lease.lease),
        ("time after which an operator that cannot renew its Lease exits", lease.renew),
    )
    counted = (("transitions in `status.history`", str(HISTORY_LIMIT)),
               ("instances reconciled concurrently", str(options.concurrency)))  # fmt: skip
    return table(("what", "value"), (*((what, f"{seconds:g} s") for what, seconds in rows), *counted))


def heartbeats() -> str:
    rows = (
        ("heartbeat shards per namespace", str(SHARDS)),
        ("shortest time between two writes of a gateway to a shard", f"{TICK_SECONDS:g} s"),
        (
            "longest time between two updates of a gateway's presence",
            f"{LONGEST_PRESENCE_SECONDS:g} s",
        ),
        (
            "time after which a gateway without an update counts as gone",
            f"{GATEWAY_TIMEOUT_SECONDS:g} s",
        ),
        ("multiple of `timeoutSeconds` without a heartbeat after which an instance enters Error", str(LOST_AFTER)),
        ("events in the journal", f"{CAPACITY:,}"),
    )
    return table(("what", "value"), rows)


# The function that renders each block.
TABLES: dict[str, Callable[[], str]] = {
    "lifecycle": lifecycle,
    "lifecycle-diagram": lifecycle_diagram,
    "ways": paths_to_desired_states,
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

# The enumeration that each hand-written block explains, with a row per member.
MEMBERS: dict[str, type[StrEnum]] = {
    "phases": Phase,
    "conditions": ConditionType,
    "reasons": Reason,
    "health": Health,
    "events": EventKind,
    "criteria": StrEnum("Field", [(name, name) for name in Criteria.__dataclass_fields__]),
}
