"""`POST /instances/{id}/{action}`: the verbs of the lifecycle."""

from contextlib import nullcontext
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import TypeAdapter

from hopper.domain.actions import Action
from hopper.gateway.http.answers import respond
from hopper.gateway.http.bodies import JsonRoute
from hopper.gateway.intents.acting import Patience, act
from hopper.gateway.models.instances import ActionResult
from hopper.gateway.models.requests import ActionRequest
from hopper.gateway.routes.instances import Id, MayPatch
from hopper.gateway.sse import until_gone
from hopper.gateway.views.reads import find

router = APIRouter(prefix="/instances", tags=["lifecycle"], route_class=JsonRoute)

_RESULT = TypeAdapter(ActionResult)
_NO_REQUEST = ActionRequest()

Wait = Annotated[bool, Query(description="Answer once it has happened, or cannot.")]
Timeout = Annotated[float, Query(ge=0, le=300, description="Seconds to wait at most.")]

_SAYS = {
    Action.START: "Bring it to running.",
    Action.STOP: "Bring it to stopped: no processes; configuration and volumes stay.",
    Action.RESTART: "Stop and start it once.",
    Action.PAUSE: "Keep its processes warm, without requests or new tasks.",
    Action.RESUME: "Let a paused one go on.",
    Action.ARCHIVE: "Stop it and keep only the record and its persistent volumes, read-only.",
}


def _add(action: Action) -> None:
    @router.post(
        f"/{{id}}/{action}",
        response_model=ActionResult,
        summary=f"{action.capitalize()} an instance",
        description=_SAYS[action],
        operation_id=f"{action}_instance",
    )
    async def carry_out(
        id: Id,  # noqa: A002
        request: Request,
        access: MayPatch,
        body: ActionRequest | None = None,
        wait: Wait = False,
        timeout: Timeout = 30.0,
    ) -> Response:
        instance, wanted = find(access.index, id), body or _NO_REQUEST
        patience = Patience(timeout, lambda: until_gone(request.receive)) if wait else None
        with access.context.waits.one(access.known_caller) if wait else nullcontext():
            return respond(_RESULT, await act(access, instance, action, wanted, patience))


for _action in Action:
    _add(_action)
