"""Instances and templates to render: from files, or from the cluster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hopper.api.instance import HopperInstance, parse_instance
from hopper.api.names import DEFAULT_PREFIX, INSTANCE_KIND, TEMPLATE_KIND
from hopper.api.resources import Manifest
from hopper.api.template import HopperTemplate, parse_template
from hopper.cli.documents import ManifestError, namespace_of, read_documents
from hopper.domain.hierarchy import parent_link
from hopper.domain.renaming import status_with_predecessor, takeover_of
from hopper.domain.service.blueprint import Blueprint, prepare_blueprint
from hopper.domain.service.naming import NameConflicts, name_objects
from hopper.domain.service.render import Mode, mode_for, render_objects
from hopper.registry import NamespaceIndex

if TYPE_CHECKING:
    from hopper.adapters.kube import KubeClient


# Stand in for what only the API server gives.
_UNKNOWN_UID = "00000000-0000-0000-0000-000000000000"
_UNKNOWN_TIME = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Manifests:
    """The instances and templates of one namespace."""

    namespace: str
    instances: NamespaceIndex = field(default_factory=NamespaceIndex)
    templates: dict[str, HopperTemplate] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)

    def put(self, raw: Manifest) -> None:
        """Take in one object over an earlier one; other kinds are passed over. Raises `ManifestError`."""
        kind, name = raw.get("kind"), raw.get("metadata", {}).get("name", "?")
        try:
            if kind == INSTANCE_KIND:
                instance = parse_instance(raw)
                self.instances.put(instance)
                self.named.append(instance.name)
            elif kind == TEMPLATE_KIND:
                self.templates[name] = parse_template(raw)
        except ValueError as error:
            raise ManifestError(f"{kind} {name}: {error}") from error

    def overlay(self, above: Manifests) -> None:
        """Put other manifests over these: their specs, with the identity and status of what is live.

        Named are afterwards those whom that concerns: the instances above, and who uses the templates above.
        """
        for name in above.named:
            new, live = above.instances.get(name), self.instances.get(name)
            if new and live:
                new = replace(new, metadata=live.metadata, status=live.status)
            if new:
                self.instances.put(new)
        self.templates.update(above.templates)
        users = (user.name for template in above.templates for user in self.instances.users(template))
        self.named[:] = {*above.named, *users}

    def ancestors(self, instance: HopperInstance) -> tuple[HopperInstance, ...]:
        """Return whom an instance is below, nearest first."""
        return parent_link(instance, self.instances).ancestors

    def blueprint(self, instance: HopperInstance, prefix: str = DEFAULT_PREFIX) -> Blueprint:
        """Put together what an instance runs. Raises `ManifestError` naming everything that is wrong."""
        reference = instance.spec.template_ref
        if reference is None:
            raise ManifestError(f"{instance.name} is a logical instance: it has no spec.templateRef and runs nothing")
        template = self.templates.get(reference.name)
        if template is None:
            raise ManifestError(
                f'{instance.name}: there is no HopperTemplate "{reference.name}" (spec.templateRef.name)'
            )
        instance = self._as_successor(instance)
        ancestors = self.ancestors(instance)
        names = name_objects(instance, ancestors, template.name, prefix, NameConflicts(self.instances))
        made = prepare_blueprint(instance, ancestors, template, names=names)
        if made.problems:
            raise ManifestError("\n".join(f"{instance.name}: {problem}" for problem in made.problems))
        return made

    def missing_ancestor(self, instance: HopperInstance) -> str | None:
        """Return who should be above an instance and is not there; names and what is inherited may depend on it."""
        above = (instance, *self.ancestors(instance))[-1].parent_name
        return above if above and self.instances.get(above) is None else None

    def _as_successor(self, instance: HopperInstance) -> HopperInstance:
        """Return an instance that is about to replace another one as it will be then: with the claims of that one."""
        takeover = takeover_of(instance, self.instances)
        if takeover is None or takeover.refusal:
            return instance
        return replace(instance, status=status_with_predecessor(instance.status, takeover))


def objects_of(blueprint: Blueprint) -> tuple[Manifest, ...]:
    """Return the objects that the operator would apply now."""
    return render_objects(blueprint, present_mode(blueprint)).objects


def present_mode(blueprint: Blueprint) -> Mode:
    """Return the mode of an instance; of one that never ran, that of a running one."""
    status = blueprint.instance.status
    return mode_for(status.phase, status.effective_state) or Mode.UP


def from_files(paths: list[str], namespace: str | None, default: str) -> Manifests:
    """Read files, directories of YAML, or standard input (`-`), all of one namespace. Raises `ManifestError`."""
    documents = read_documents(paths)
    found = Manifests(namespace_of(documents, namespace, default))
    for document in documents:
        found.put(_completed(document, found.namespace))
    return found


def _completed(document: Manifest, namespace: str) -> Manifest:
    metadata = {
        "uid": _UNKNOWN_UID,
        "creationTimestamp": _UNKNOWN_TIME,
        **document["metadata"],
        "namespace": namespace,
    }
    return {**document, "metadata": metadata}


async def from_cluster(kube: KubeClient, namespace: str) -> Manifests:
    """Read all instances and templates of a namespace. Raises `ports.ApiError`, `ManifestError`."""
    from hopper.adapters.lists import KubeLister
    from hopper.api.resources import INSTANCES, TEMPLATES

    found = Manifests(namespace)
    for resource in (TEMPLATES, INSTANCES):
        async for part in KubeLister(kube).chunks(resource, namespace):
            for raw in part.items:
                found.put({"kind": resource.kind, **raw})
    return found
