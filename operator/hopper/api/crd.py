"""CustomResourceDefinitions, built from the models. `make crds` writes them to `crds/`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hopper.api.cel import Rules, attach_rules
from hopper.api.instance import HopperInstance
from hopper.api.names import (
    CATEGORY,
    GROUP,
    INSTANCE_KIND,
    INSTANCE_PLURAL,
    INSTANCE_SHORT,
    INSTANCE_SINGULAR,
    TEMPLATE_KIND,
    TEMPLATE_PLURAL,
    TEMPLATE_SHORT,
    TEMPLATE_SINGULAR,
    VERSION,
)
from hopper.api.resources import Manifest
from hopper.api.rules import instance_rules, template_rules
from hopper.api.schema import object_schema
from hopper.api.template import HopperTemplate


@dataclass(frozen=True, slots=True)
class Column:
    """Column of `kubectl get`. A wide column appears with `--output=wide`."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def as_manifest(self) -> Manifest:
        column = {"name": self.name, "type": self.type, "description": self.description, "jsonPath": self.path}
        return column | ({"priority": 1} if self.wide else {})


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Paths of the scale subresource."""

    spec_replicas: str = ".spec.replicas"
    status_replicas: str = ".status.replicas"
    selector: str = ".status.selector"

    def as_manifest(self) -> Manifest:
        return {
            "specReplicasPath": self.spec_replicas,
            "statusReplicasPath": self.status_replicas,
            "labelSelectorPath": self.selector,
        }


@dataclass(frozen=True, slots=True)
class CustomKind:
    """Custom kind: its model, its names, and its settings in the API server."""

    model: type[Any]
    kind: str
    plural: str
    singular: str
    short: str
    columns: tuple[Column, ...]
    rules: Callable[[Iterable[str]], Rules] = lambda _: {}
    selectable: tuple[str, ...] = ()
    scale: ScalePaths | None = None

    @property
    def crd_name(self) -> str:
        return f"{self.plural}.{GROUP}"


_READY = '.status.conditions[?(@.type=="Ready")]'

INSTANCE = CustomKind(
    model=HopperInstance,
    kind=INSTANCE_KIND,
    plural=INSTANCE_PLURAL,
    singular=INSTANCE_SINGULAR,
    short=INSTANCE_SHORT,
    rules=instance_rules,
    scale=ScalePaths(),
    selectable=(".spec.scope", ".spec.parentRef.name", ".status.phase"),
    columns=(
        Column("Scope", ".spec.scope", "Place in the hierarchy."),
        Column("Parent", ".spec.parentRef.name", "Parent of the instance."),
        Column("Desired", ".spec.desiredState", "Desired state of the instance."),
        Column("Phase", ".status.phase", "Phase of the lifecycle."),
        Column("Ready", f"{_READY}.status", "Whether the instance is in its effective state."),
        Column("Age", ".metadata.creationTimestamp", "Time since creation.", type="date"),
        Column("Type", ".spec.type", "Type of the instance. Empty for the default of the scope.", wide=True),
        Column("Template", ".spec.templateRef.name", "Template that the instance runs.", wide=True),
        Column("Children", ".status.children.total", "Number of direct children.", type="integer", wide=True),
        Column("Restarts", ".status.restarts", "Number of restarts.", type="integer", wide=True),
        Column("Message", f"{_READY}.message", "Message of the condition Ready.", wide=True),
    ),
)

TEMPLATE = CustomKind(
    model=HopperTemplate,
    kind=TEMPLATE_KIND,
    plural=TEMPLATE_PLURAL,
    singular=TEMPLATE_SINGULAR,
    short=TEMPLATE_SHORT,
    rules=template_rules,
    columns=(
        Column("Image", ".spec.image", "Container image."),
        Column("Users", ".status.users", "Number of instances that use the template.", type="integer"),
        Column("Ready", f"{_READY}.status", "Whether the template can be rendered."),
        Column("Age", ".metadata.creationTimestamp", "Time since creation.", type="date"),
        Column("Message", f"{_READY}.message", "Message of the condition Ready.", wide=True),
    ),
)

KINDS = (INSTANCE, TEMPLATE)


def custom_resource_definition(kind: CustomKind) -> Manifest:
    """Return the CustomResourceDefinition of a kind."""
    names = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.singular,
        "shortNames": [kind.short],
        "categories": [CATEGORY],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [_version(kind)]},
    }


def _version(kind: CustomKind) -> Manifest:
    schema = object_schema(kind.model)
    properties = schema["properties"]
    subresources: Manifest = {"status": {}} if "status" in properties else {}
    if kind.scale:
        subresources["scale"] = kind.scale.as_manifest()
    version: Manifest = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.as_manifest() for column in kind.columns],
        "subresources": subresources,
        "selectableFields": [{"jsonPath": path} for path in kind.selectable],
        "schema": {"openAPIV3Schema": attach_rules(schema, kind.rules(properties["spec"]["properties"]))},
    }
    return {key: value for key, value in version.items() if value}
