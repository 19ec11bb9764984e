"""Status of a template: the instances that use it, and whether it can be rendered."""

from collections.abc import Sequence
from datetime import datetime

from hopper.api.conditions import ConditionType, Reason
from hopper.api.model import Condition
from hopper.api.template import USERS_SHOWN, HopperTemplate, TemplateStatus
from hopper.domain.messages import truncate
from hopper.domain.service.merge import merge
from hopper.domain.service.problems import find_problems


def template_status(template: HopperTemplate, users: Sequence[str], now: datetime) -> TemplateStatus:
    """Return the status of a template that instances with these sorted names use.

    Equals the current status if nothing has changed.
    """
    problems = find_problems(merge(template.spec, None))
    status, reason = ("False", Reason.SERVICE_INVALID) if problems else ("True", Reason.TEMPLATE_FOUND)
    conditions = template.status.conditions
    current = next((condition for condition in conditions if condition.type == ConditionType.READY), None)
    since = current.last_transition_time if current and current.status == status else now
    ready = Condition(
        type=ConditionType.READY,
        status=status,
        reason=reason,
        message=truncate("; ".join(map(str, problems))),
        last_transition_time=since,
        observed_generation=template.metadata.generation,
    )
    return TemplateStatus(
        observed_generation=template.metadata.generation,
        users=len(users),
        used_by=tuple(users[:USERS_SHOWN]),
        conditions=(ready,),
    )
