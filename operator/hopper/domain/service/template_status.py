"""The status of a template: who uses it, and whether it can be rendered."""

from collections.abc import Sequence
from datetime import datetime

from hopper.api.conditions import ConditionType, Reason
from hopper.api.instance import Condition
from hopper.api.template import USERS_SHOWN, HopperTemplate, TemplateStatus
from hopper.domain.messages import truncate
from hopper.domain.service.merge import merge
from hopper.domain.service.problems import problems


def template_status(template: HopperTemplate, users: Sequence[str], now: datetime) -> TemplateStatus:
    """Return the whole status; equal to the old one where nothing is new. `users` are names, sorted."""
    found = problems(merge(template.spec, None))
    status, reason = ("False", Reason.SERVICE_INVALID) if found else ("True", Reason.TEMPLATE_FOUND)
    before = next((it for it in template.status.conditions if it.type == ConditionType.READY), None)
    since = before.last_transition_time if before and before.status == status else now
    ready = Condition(
        type=ConditionType.READY,
        status=status,
        reason=reason,
        message=truncate("; ".join(map(str, found))),
        last_transition_time=since,
        observed_generation=template.metadata.generation,
    )
    return TemplateStatus(
        observed_generation=template.metadata.generation,
        users=len(users),
        used_by=tuple(users[:USERS_SHOWN]),
        conditions=(ready,),
    )
