"""Waits for the definitions (CRDs): kopf looks for what it is to watch once, when it starts.

It could go on looking, but only with the right to list the definitions and the namespaces of the whole cluster: an
operator of one namespace does not have that, and should not need it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from hopper.api.resources import Resource
from hopper.ports import ApiError, Lister

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0


async def until_served(lister: Lister, resources: Sequence[Resource], stop: asyncio.Event) -> None:
    """Return when the API server serves all these kinds, or when `stop` is set."""
    told = ""
    while not stop.is_set():
        try:
            missing = [resource.plural for resource in resources if not await lister.serves(resource)]
        except ApiError as error:
            problem = f"cannot ask the API server what it serves: {error}"
        else:
            if not missing:
                return
            absent = ", ".join(missing)
            problem = f"the API server does not serve {absent}: install the CRDs (kubectl apply --server-side -f crds/)"
        if problem != told:
            logger.warning("%s; trying again", problem)
            told = problem
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE_SECONDS):
                await stop.wait()
