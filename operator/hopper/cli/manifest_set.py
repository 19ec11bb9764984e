"""The instances and templates of a namespace, from files and from the cluster, ready to render."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from hopper.api.instance import HopperInstance, parse_instance
from hopper.api.names import DEFAULT_PREFIX, INSTANCE_KIND, TEMPLATE_KIND
from hopper.api.partial_instance import parse_valid_fields
from hopper.api.resources import INSTANCES, TEMPLATES, Manifest, ObjectKey
from hopper.api.template import HopperTemplate, parse_template
from hopper.cli.manifest_reader import ManifestError, common_namespace, read_manifests
from hopper.domain.hierarchy import parent_link
from hopper.domain.renaming import status_with_predecessor, takeover_of
from hopper.domain.service.blueprint import Blueprint, prepare_blueprint
from hopper.domain.service.naming import NameConflicts, name_objects
from hopper.domain.service.render import Mode, mode_for, render_objects
from hopper.registry import NamespaceIndex

if TYPE_CHECKING:
    from hopper.adapters.kube import KubeClient

# Placeholders for values that only the API server assigns.
_PLACEHOLDER_UID = "00000000-0000-0000-0000-000000000000"
_PLACEHOLDER_TIME = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class ManifestSet:
    """The instances and templates of one namespace. `selected` are the names of the instances to render."""

    namespace: str
    instances: NamespaceIndex = field(default_factory=NamespaceIndex)
    templates: dict[str, HopperTemplate] = field(default_factory=dict)
    selected: list[str] = field(default_factory=list)
    # Kind and name of each live object that cannot be read completely, and why.
    problems: dict[ObjectKey, str] = field(default_factory=dict)

    def put(self, manifest: Manifest) -> None:
        """Add or replace an instance or a template. Ignore other kinds.

        Raises `ManifestError`.
        """
        kind, name = manifest.get("kind"), manifest.get("metadata", {}).get("name", "?")
        try:
            if kind == INSTANCE_KIND:
                instance = parse_instance(manifest)
                self.instances.put(instance)
                self.selected.append(instance.name)
            elif kind == TEMPLATE_KIND:
                self.templates[name] = parse_template(manifest)
        except ValueError as error:
            raise ManifestError(f"{kind} {name}: {error}") from error

    def put_live(self, manifest: Manifest) -> None:
        """Add a live instance or template. One that cannot be read completely is added to `problems`."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        try:
            self.put(manifest)
        except ManifestError as error:
            self.problems[kind, name] = str(error)
            if kind == INSTANCE_KIND:
                self.selected.append(name)
                self._put_valid_fields(manifest, error.__cause__)

    def _put_valid_fields(self, manifest: Manifest, error: BaseException | None) -> None:
        """Add an instance without its invalid fields, because others may be below it."""
        if isinstance(error, ValidationError):
            instance, problems = parse_valid_fields(manifest, error)
            if problems:
                self.problems[INSTANCE_KIND, manifest["metadata"]["name"]] = "; ".join(problems)
            if instance is not None:
                self.instances.put(instance)

    def overlay(self, changes: ManifestSet) -> None:
        """Replace instances and templates by changed ones. Live instances keep their metadata and status.

        Select the changed instances, and all instances of the changed templates.
        """
        for name in changes.selected:
            changed, live = changes.instances.get(name), self.instances.get(name)
            if changed and live:
                changed = replace(changed, metadata=live.metadata, status=live.status)
            if changed:
                self.instances.put(changed)
        self.templates.update(changes.templates)
        changed_keys = {(INSTANCE_KIND, name) for name in changes.selected}
        changed_keys |= {(TEMPLATE_KIND, name) for name in changes.templates}
        for key in changed_keys:
            self.problems.pop(key, None)
        users = (user.name for template in changes.templates for user in self.instances.users(template))
        self.selected[:] = {*changes.selected, *users}

    def ancestors(self, instance: HopperInstance) -> tuple[HopperInstance, ...]:
        """Return the ancestors of an instance, nearest first."""
        return parent_link(instance, self.instances).ancestors

    def blueprint(self, instance: HopperInstance, prefix: str = DEFAULT_PREFIX) -> Blueprint:
        """Return the blueprint of an instance.

        Raises `ManifestError` with all problems of the instance and its template.
        """
        reference = instance.spec.template_ref
        if reference is None:
            raise ManifestError(
                f"{instance.name}: spec.templateRef is not set, so there is nothing to render: "
                "choose an instance with a template"
            )
        for kind, name in ((INSTANCE_KIND, instance.name), (TEMPLATE_KIND, reference.name)):
            if problem := self.problems.get((kind, name)):
                raise ManifestError(f"{instance.name}: {problem}")
        template = self.templates.get(reference.name)
        if template is None:
            raise ManifestError(
                f'{instance.name}: spec.templateRef.name: HopperTemplate "{reference.name}" not found: '
                "create it or correct the name"
            )
        instance = self._with_predecessor(instance)
        ancestors = self.ancestors(instance)
        names = name_objects(instance, ancestors, template.name, prefix, NameConflicts(self.instances))
        blueprint = prepare_blueprint(instance, ancestors, template, names=names)
        if blueprint.problems:
            raise ManifestError("\n".join(f"{instance.name}: {problem}" for problem in blueprint.problems))
        return blueprint

    def missing_ancestor(self, instance: HopperInstance) -> str | None:
        """Return the name of an ancestor that does not exist, because names and inherited values depend on it."""
        parent = (instance, *self.ancestors(instance))[-1].parent_name
        return parent if parent and self.instances.get(parent) is None else None

    def _with_predecessor(self, instance: HopperInstance) -> HopperInstance:
        """Return the instance as it will be after its takeover: with the claims of its predecessor."""
        takeover = takeover_of(instance, self.instances)
        if takeover is None or takeover.refusal:
            return instance
        return replace(instance, status=status_with_predecessor(instance.status, takeover))


def rendered_objects(blueprint: Blueprint) -> tuple[Manifest, ...]:
    """Return the objects that the operator would apply now."""
    return render_objects(blueprint, current_mode(blueprint)).objects


def current_mode(blueprint: Blueprint) -> Mode:
    """Return the mode in which the operator renders an instance. A new instance is rendered as running."""
    status = blueprint.instance.status
    return mode_for(status.phase, status.effective_state) or Mode.UP


def manifests_from_files(paths: list[str], namespace: str | None, default: str) -> ManifestSet:
    """Return the instances and templates in files, directories of YAML, or standard input (`-`).

    All objects must be in one namespace. Raises `ManifestError`.
    """
    manifests = read_manifests(paths)
    manifest_set = ManifestSet(common_namespace(manifests, namespace, default))
    for manifest in manifests:
        manifest_set.put(_with_server_fields(manifest, manifest_set.namespace))
    return manifest_set


async def manifests_from_cluster(kube: KubeClient, namespace: str) -> ManifestSet:
    """Return all instances and templates of a namespace in the cluster.

    Raises `ports.ApiError`, `ManifestError`.
    """
    from hopper.adapters.lists import KubeLister

    manifest_set = ManifestSet(namespace)
    for resource in (TEMPLATES, INSTANCES):
        async for chunk in KubeLister(kube).chunks(resource, namespace):
            for item in chunk.items:
                manifest_set.put_live({"kind": resource.kind, **item})
    return manifest_set


def _with_server_fields(manifest: Manifest, namespace: str) -> Manifest:
    metadata = {
        "uid": _PLACEHOLDER_UID,
        "creationTimestamp": _PLACEHOLDER_TIME,
        **manifest["metadata"],
        "namespace": namespace,
    }
    return {**manifest, "metadata": metadata}
