"""`make demo`, the first thing that a newcomer sees."""

from __future__ import annotations

import asyncio
import re

from hopper.local import Cluster, known_clusters
from tests.cluster.conftest import cluster_name
from tests.cluster.support.operator_process import HOPPER

TITLES = (
    "A real Kubernetes API server is up",
    "The operator runs. A tree of instances is applied",
    "Project web is paused",
    "Resumed",
)


async def test_shows_the_main_job_and_cleans_up(cluster: Cluster) -> None:
    name = cluster_name("demo")
    run = await asyncio.create_subprocess_exec(
        HOPPER, "demo", "--name", name, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(300):
        said = (await run.communicate())[0].decode()
    assert run.returncode == 0, said
    places = [said.index(title) for title in TITLES]
    assert places == sorted(places), said
    assert re.search(r"web-crawler .* Paused +True", said), said
    assert re.search(r"deployment.apps/hopper-shop-web +1/1", said), said
    assert re.search(r"env\[API_URL\].value +override", said), "the new override took the old one's place"
    assert "Traceback" not in said
    assert name not in known_clusters()
