"""Manifests in the documentation: the API server accepts each one unchanged."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.cluster.support.kubectl_instances import KubectlInstances
from tests.pages import PAGES

MANIFESTS = [
    pytest.param(document, id=f"{page}:{line}-{document['metadata']['name']}")
    for page in PAGES
    for line, document in page.manifests()
    if document["apiVersion"].startswith("hopper.dev/")
]


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize("document", MANIFESTS)
def test_manifest_in_the_docs_is_accepted(instances: KubectlInstances, document: dict[str, Any]) -> None:
    text = yaml.safe_dump(document)
    instances.kubectl("create", "--filename=-", "--dry-run=server", "--validate=strict", input=text)
