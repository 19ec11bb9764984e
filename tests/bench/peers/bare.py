"""Peer without kopf's bookkeeping: one `on.event` handler that sends one status patch per change.

A kopf operator can hardly do less. It never retries, a failed patch is lost, and it reads nothing but the object of
the event. The bench shows it for orientation.
"""

import ssl
from typing import Any

import aiohttp
import kopf

from hopper.adapters.connection import connect
from tests.bench.peers.status import PEER_GROUP, settled_status


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
    """Close the connection pool."""
    await memo.session.close()


@kopf.on.event(PEER_GROUP, "v1", "hopperinstances")
async def settle(
    type: str | None,  # noqa: A002
    spec: kopf.Spec,
    meta: kopf.Meta,
    status: kopf.Status,
    memo: kopf.Memo,
    **_: Any,
) -> None:
    """Patch the status unless its observedGeneration is current."""
    if type == "DELETED" or status.get("observedGeneration") == meta["generation"]:
        return
    path = f"/apis/{PEER_GROUP}/v1/namespaces/{meta['namespace']}/hopperinstances/{meta['name']}/status"
    headers = {"Content-Type": "application/merge-patch+json"}
    body = {"status": settled_status(spec, meta, status)}
    async with memo.session.patch(path, json=body, headers=headers) as response:
        response.raise_for_status()
        await response.read()
