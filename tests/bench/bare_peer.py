"""The peer without kopf's bookkeeping: a bare `on.event` and one status patch by hand.

This is about as little as a kopf operator can do: nothing is retried, a failed patch is lost, and nothing but the
object itself is looked at. It is here for orientation.
"""

import ssl
from typing import Any

import aiohttp
import kopf

from hopper.adapters.connection import connect
from tests.bench.peer_status import PEER_GROUP, follow_up


@kopf.on.startup()
async def open_session(memo: kopf.Memo, **_: Any) -> None:
    """Open one connection pool for all patches."""
    credentials = await (await connect()).credentials()
    context = ssl.create_default_context(cafile=credentials.ca_path)
    if credentials.certificate_path:
        context.load_cert_chain(credentials.certificate_path, credentials.private_key_path)
    connector = aiohttp.TCPConnector(ssl=context, limit=16)
    memo.session = aiohttp.ClientSession(credentials.server, connector=connector)


@kopf.on.cleanup()
async def close_session(memo: kopf.Memo, **_: Any) -> None:
    """Close it."""
    await memo.session.close()


@kopf.on.event(PEER_GROUP, "v1", "hopperinstances")
async def follow(
    type: str | None,  # noqa: A002
    spec: kopf.Spec,
    meta: kopf.Meta,
    status: kopf.Status,
    memo: kopf.Memo,
    **_: Any,
) -> None:
    """Patch the status unless it answers the spec already."""
    if type == "DELETED" or status.get("observedGeneration") == meta["generation"]:
        return
    path = f"/apis/{PEER_GROUP}/v1/namespaces/{meta['namespace']}/hopperinstances/{meta['name']}/status"
    headers = {"Content-Type": "application/merge-patch+json"}
    async with memo.session.patch(path, json={"status": follow_up(spec, meta, status)}, headers=headers) as response:
        response.raise_for_status()
        await response.read()
