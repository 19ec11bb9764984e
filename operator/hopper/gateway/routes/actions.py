"""Lifecycle actions: `POST /instances/{id}/{action}`."""

from contextlib import nullcontext
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import TypeAdapter

from hopper.domain.actions import Action
from hopper.gateway.access import MayAct
from hopper.gateway.http.bodies import JsonRoute
from hopper.gateway.http.responses import json_response
from hopper.gateway.intents.lifecycle import WaitOptions, request_action
from hopper.gateway.models.instances import ActionResult
from hopper.gateway.models.requests import ActionRequest
from hopper.gateway.routes.instances import Id
from hopper.gateway.sse import until_disconnected
from hopper.gateway.views.queries import get_instance_or_404

router = APIRouter(prefix="/instances", tags=["lifecycle"], route_class=JsonRoute)

_RESULT = TypeAdapter(ActionResult)
_DEFAULT_OPTIONS = ActionRequest()

Wait = Annotated[bool, Query(description="Wait until the action has completed or failed before the response is sent.")]
Timeout = Annotated[float, Query(ge=0, le=300, description="Maximum time to wait, in seconds.")]

_DESCRIPTIONS = {
    Action.START: "Set the desired state Running.",
    Action.STOP: "Set the desired state Stopped. Pods are deleted; configuration and volumes stay.",
    Action.RESTART: "Stop and start the instance once.",
    Action.PAUSE: "Set the desired state Paused. Pods keep running but receive no requests and no new tasks.",
    Action.RESUME: "Set the desired state Running for a paused instance.",
    Action.ARCHIVE: "Set the desired state Archived. Pods are deleted; the object becomes read-only, and it keeps its "
    "persistent volumes.",
}


def _add_route(action: Action) -> None:
    @router.post(
        f"/{{id}}/{action}",
        response_model=ActionResult,
        summary=f"{action.capitalize()} an instance",
        description=_DESCRIPTIONS[action],
        operation_id=f"{action}_instance",
    )
    async def handle_action(
        id: Id,  # noqa: A002
        request: Request,
        access: MayAct,
        body: ActionRequest | None = None,
        wait: Wait = False,
        timeout: Timeout = 30.0,
    ) -> Response:
        instance, options = get_instance_or_404(access.index, id), body or _DEFAULT_OPTIONS
        wait_options = WaitOptions(timeout, lambda: until_disconnected(request.receive)) if wait else None
        with access.context.wait_limit.acquire(access.known_caller) if wait else nullcontext():
            return json_response(_RESULT, await request_action(access, instance, action, options, wait_options))


for _action in Action:
    _add_route(_action)
