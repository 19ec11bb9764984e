"""The CustomResourceDefinitions, built from the models. `make crds` writes them to `crds/`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hopper.api.cel import Rules, attach
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
from hopper.api.rules import instance_rules
from hopper.api.schema import object_schema
from hopper.api.template import HopperTemplate
from hopper.api.template_rules import template_rules


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; a wide one shows with `-o wide`."""

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
    """Where the scale subresource finds its values."""

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
class Kind:
    """One kind of the API group: its model, its names, and how the API server serves it."""

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

INSTANCE = Kind(
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
        Column("Parent", ".spec.parentRef.name", "The parent."),
        Column("Desired", ".spec.desiredState", "The state that is wanted."),
        Column("Phase", ".status.phase", "Summary of the lifecycle."),
        Column("Ready", f"{_READY}.status", "Whether the instance is where it should be."),
        Column("Age", ".metadata.creationTimestamp", "Time since it was created.", type="date"),
        Column("Type", ".spec.type", "Singleton, Persistent or Ephemeral; empty: the default of the scope.", wide=True),
        Column("Template", ".spec.templateRef.name", "The template that it runs.", wide=True),
        Column("Children", ".status.children.total", "Direct children.", type="integer", wide=True),
        Column("Restarts", ".status.restarts", "Restarts so far.", type="integer", wide=True),
        Column("Message", f"{_READY}.message", "Why it is ready or not.", wide=True),
    ),
)

TEMPLATE = Kind(
    model=HopperTemplate,
    kind=TEMPLATE_KIND,
    plural=TEMPLATE_PLURAL,
    singular=TEMPLATE_SINGULAR,
    short=TEMPLATE_SHORT,
    rules=template_rules,
    columns=(
        Column("Image", ".spec.image", "The image that it runs."),
        Column("Users", ".status.users", "How many instances run it.", type="integer"),
        Column("Ready", f"{_READY}.status", "Whether it can be rendered."),
        Column("Age", ".metadata.creationTimestamp", "Time since it was created.", type="date"),
        Column("Message", f"{_READY}.message", "Why it is ready or not.", wide=True),
    ),
)

KINDS = (INSTANCE, TEMPLATE)


def custom_resource_definition(kind: Kind) -> Manifest:
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


def _version(kind: Kind) -> Manifest:
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
        "schema": {"openAPIV3Schema": attach(schema, kind.rules(properties["spec"]["properties"]))},
    }
    return {key: value for key, value in version.items() if value}
