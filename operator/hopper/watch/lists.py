"""Lists for kopf: it asks, the feeds list.

kopf hands out the objects of a list one by one, at the cost of a task and a queue for each; it does not tell when the
list is complete, nor what is gone since the list before. So where it lists, the feed does: into the index while it
arrives, with what is missing dropped. kopf gets an empty list of the very same version, and watches from there.
"""

from collections.abc import Sequence

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from yarl import URL

from hopper.adapters.kube import describe_error
from hopper.ports import ApiError, Lister
from hopper.watch.contact import Contact
from hopper.watch.feed import Feed

# No namespace can have this name, so there is nothing to be read for the answer.
_NOWHERE = "-"
# Not among them: 401, upon which kopf logs in anew, and 410, upon which it lists anew.
_NO_WATCH = {403, 404, 429, *range(500, 600)}


class Lists:
    """Middleware of kopf's HTTP session."""

    def __init__(self, feeds: Sequence[Feed], lister: Lister, contact: Contact | None = None) -> None:
        self._lister = lister
        self._contact = contact or Contact()
        self._feeds = {feed.resource.path(it): (feed, it) for feed in feeds for it in feed.namespaces}

    async def __call__(self, request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        found = self._feeds.get(request.url.path)
        if found is None or request.method != "GET":
            return await send(request)
        if "watch" in request.url.query:
            return await self._watch(request, send)
        feed, namespace = found
        try:
            version = await feed.refill(self._lister, namespace)
        except ApiError as error:
            self._contact.lost(request.url.path, describe_error(error.__cause__ or error))
            return await self._let_kopf_see(request, send, error)
        request.url = _nothing(request.url, feed, namespace, version)
        response = await send(request)
        if response.status == 410:  # the list took so long that its version is forgotten
            response.close()
            raise aiohttp.ClientConnectionError(f"{feed.resource.plural}: version {version} is gone, listing again")
        return response

    async def _watch(self, request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        path = request.url.path
        try:
            response = await send(request)
        except (aiohttp.ClientError, OSError) as error:
            self._contact.lost(path, describe_error(error))
            raise
        if response.status in _NO_WATCH:
            self._contact.lost(path, f"{response.status} {response.reason}")
        else:
            self._contact.found(path)
        return response

    async def _let_kopf_see(self, request: ClientRequest, send: ClientHandlerType, error: ApiError) -> ClientResponse:
        """Have kopf meet the same error, and log in again, wait, or give up. Raises where there is none any more."""
        request.url = request.url.with_query(limit=1)
        response = await send(request)
        if response.status < 400:
            response.close()
            raise aiohttp.ClientConnectionError(str(error)) from error
        return response


def _nothing(url: URL, feed: Feed, namespace: str | None, version: str) -> URL:
    """Return the address of an empty list of this version, of which the API server knows without looking."""
    exactly = {"resourceVersion": version, "resourceVersionMatch": "Exact"}
    if namespace is None:
        return url.with_path(feed.resource.path(_NOWHERE)).with_query(exactly)
    return url.with_query({**exactly, "fieldSelector": f"metadata.name={_NOWHERE}"})
