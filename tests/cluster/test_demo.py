"""`hopper demo`."""

from __future__ import annotations

import asyncio
import re

from hopper.local import Cluster, known_clusters
from tests.cluster.conftest import cluster_name
from tests.cluster.support.operator_process import HOPPER

TITLES = (
    "A real Kubernetes API server is running",
    "The operator is running. Apply a tree of instances",
    "Pause the project web",
    "Resume the project",
    "Delete the root",
    "Import a compose file as a stack",
    "Stop the whole stack",
)


async def test_the_demo_shows_all_its_steps_and_removes_its_cluster(cluster: Cluster) -> None:
    name = cluster_name("demo")
    run = await asyncio.create_subprocess_exec(
        HOPPER, "demo", "--name", name, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(300):
        output = (await run.communicate())[0].decode()
    assert run.returncode == 0, output
    positions = [output.index(title) for title in TITLES]
    assert positions == sorted(positions), output
    assert re.search(r"web-crawler .* Paused +True", output), output
    assert re.search(r"deployment.apps/hopper-shop-web +1/1", output), output
    assert re.search(r"env\[API_URL\].value +override", output), (
        "the override of the file must not remove that of the import"
    )
    assert "Traceback" not in output
    assert name not in known_clusters()
