"""The software bill of materials of the image's Python dependencies, in CycloneDX format."""

from __future__ import annotations

import os
import tomllib
import uuid
from datetime import UTC, datetime

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from tests.supply_chain.lock import ROOT, RUNTIME_LOCK, LockedPackage, locked_packages

SCHEMA_VERSION = SchemaVersion.V1_6


def sbom_text() -> str:
    """Return the bill of materials as JSON.

    The same lock gives the same text, except for the time, which SOURCE_DATE_EPOCH replaces.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = locked_packages(RUNTIME_LOCK)
    root = Component(
        type=ComponentType.APPLICATION,
        name=project["name"],
        version=project["version"],
        description=project["description"],
        licenses=[DisjunctiveLicense(id=project["license"])],
        bom_ref=project["name"],
    )
    components = {package.name: _component(package) for package in packages}
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, f"{root.version}\n{RUNTIME_LOCK.read_text(encoding='utf-8')}"),
        metadata=BomMetaData(component=root, timestamp=_timestamp()),
        components=components.values(),
    )
    dependents = {**components, root.name: root}
    for name, dependent in dependents.items():
        required = [components[package.name] for package in packages if name in package.dependents]
        bom.register_dependency(dependent, required)
    return make_outputter(bom, OutputFormat.JSON, SCHEMA_VERSION).output_as_string(indent=2) + "\n"


def _component(package: LockedPackage) -> Component:
    """Return the component of a package. It has one hash for each file of the version, such as those per platform."""
    purl = PackageURL("pypi", name=package.name, version=str(package.version))
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=str(package.version),
        purl=purl,
        bom_ref=purl.to_string(),
        scope=ComponentScope.REQUIRED if package.is_in_image else ComponentScope.EXCLUDED,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.hashes],
    )


def _timestamp() -> datetime:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
