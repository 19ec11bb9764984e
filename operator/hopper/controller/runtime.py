"""Gather what an instance with a template is to run, and what of it there is."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from hopper.api.conditions import Reason
from hopper.api.instance import HopperInstance
from hopper.api.names import ANNOTATION_RESTARTS, ANNOTATION_REVISION
from hopper.api.resources import Manifest, ObjectKey
from hopper.api.template import HopperTemplate
from hopper.domain.dependencies import find_dependency_cycle, missing_dependencies
from hopper.domain.objects import CLAIM
from hopper.domain.observed import Observed, Runtime
from hopper.domain.ownership import belongs_to
from hopper.domain.plan import Hold
from hopper.domain.renaming import Takeover, takeover_of
from hopper.domain.service.blueprint import Blueprint, prepare_blueprint
from hopper.domain.service.naming import NameConflicts, name_objects
from hopper.domain.service.render import restart_annotation
from hopper.domain.service.revision import revision
from hopper.domain.tree import Tree, predecessor_of
from hopper.domain.workload import Workload, assess_workload, has_ended, recheck_after
from hopper.registry import OwnedObjectIndex, TemplateIndex

_BLUEPRINTS_KEPT = 1000


class RuntimeGatherer:
    """Knows templates and children. Blueprints are kept while nothing that they are made of has changed."""

    def __init__(self, templates: TemplateIndex, children: OwnedObjectIndex, prefix: str) -> None:
        self._templates = templates
        self._children = children
        self._prefix = prefix
        self._blueprints: OrderedDict[str, tuple[object, Blueprint]] = OrderedDict()

    def gather(
        self, instance: HopperInstance, ancestors: Sequence[HopperInstance], tree: Tree, now: datetime
    ) -> tuple[Runtime, Workload] | None:
        """Return what there is to know, None for an instance that has no template and owns nothing."""
        children = self._children.of(instance.namespace, instance.name)
        if instance.spec.template_ref is None and not children:
            return None
        pods = _pods(children)
        template = self._template(instance)
        blueprint = self._blueprint(instance, ancestors, template, tree) if template else None
        owned = self._owned(instance, blueprint)
        problem = _problem(instance, blueprint)
        missing = missing_dependencies(instance, template, tree) if template else ()
        deployment = _deployment(owned)
        runtime = Runtime(
            owned=owned,
            blueprint=blueprint,
            problem=problem,
            template_generation=template.metadata.generation if template else None,
            missing_dependencies=missing,
            cycle=find_dependency_cycle(instance, self._template, tree) if missing else (),
            current=problem is None and _is_current(instance, blueprint, deployment),
            recheck_after=recheck_after(pods, now),
            contested_domains=self._children.domains.rivals(instance.namespace, instance.name),
        )
        workload = assess_workload(deployment, pods, now)
        if blueprint and not problem and not runtime.current:
            message = "waits for a change to be rolled out" if workload.available else workload.message
            workload = replace(workload, available=False, rolling_out=True, message=message)
        if instance.spec.template_ref is None and deployment is None:  # a logical one, that has volumes from before
            workload = replace(workload, available=workload.gone)
        return runtime, workload

    def refresh_owned(self, o: Observed) -> Observed:
        """Return the observation with the owned objects as the index holds them now, and everything else unchanged."""
        if o.runtime is None:
            return o
        return replace(o, runtime=replace(o.runtime, owned=self._owned(o.instance, o.runtime.blueprint)))

    def _owned(self, instance: HopperInstance, blueprint: Blueprint | None) -> dict[ObjectKey, Manifest]:
        children = self._children.of(instance.namespace, instance.name)
        base = blueprint.names.base if blueprint else instance.status.workload_name
        return {key: child for key, child in children.items() if key[0] != "Pod" and belongs_to(child, instance, base)}

    def takeover(self, newcomer: HopperInstance, tree: Tree) -> Takeover | None:
        """Return what a newcomer has to take over before it may start, and from whom."""
        if newcomer.spec.renamed_from is None:
            return None
        left = self._children.of(newcomer.namespace, newcomer.spec.renamed_from.name)
        before = predecessor_of(newcomer, tree)
        claims = (child for (kind, _), child in left.items() if kind == CLAIM and before and belongs_to(child, before))
        return takeover_of(newcomer, tree, pods=bool(_pods(left)), claims=tuple(claims))

    def _template(self, instance: HopperInstance) -> HopperTemplate | None:
        reference = instance.spec.template_ref
        return self._templates.get(instance.namespace, reference.name) if reference else None

    def _blueprint(
        self, instance: HopperInstance, ancestors: Sequence[HopperInstance], template: HopperTemplate, tree: Tree
    ) -> Blueprint:
        names = name_objects(instance, ancestors, template.name, self._prefix, NameConflicts(tree, self._name_given))
        made_of = (
            instance.metadata.generation,
            names.base,
            names.claims,
            template.metadata.uid,
            template.metadata.generation,
            tuple((above.metadata.uid, above.metadata.generation) for above in ancestors),
        )
        uid = instance.metadata.uid
        known = self._blueprints.get(uid)
        if known is None or known[0] != made_of:
            known = (made_of, prepare_blueprint(instance, ancestors, template, names=names))
            self._blueprints[uid] = known
            if len(self._blueprints) > _BLUEPRINTS_KEPT:
                self._blueprints.popitem(last=False)
        self._blueprints.move_to_end(uid)
        return known[1]

    def _name_given(self, instance: HopperInstance) -> str | None:
        """Return the name that an instance got a moment ago, of which its status does not tell yet."""
        known = self._blueprints.get(instance.metadata.uid)
        return known[1].names.base if known else None


def _pods(children: Mapping[ObjectKey, Manifest]) -> list[Manifest]:
    return [child for (kind, _), child in children.items() if kind == "Pod" and not has_ended(child)]


def _deployment(owned: dict[ObjectKey, Manifest]) -> Manifest | None:
    return next((child for (kind, _), child in owned.items() if kind == "Deployment"), None)


def _problem(instance: HopperInstance, blueprint: Blueprint | None) -> Hold | None:
    reference = instance.spec.template_ref
    if reference is None:
        return None
    if blueprint is None:
        message = f'template "{reference.name}" (spec.templateRef.name) does not exist; what runs is kept as it is'
        return Hold(Reason.TEMPLATE_NOT_FOUND, message)
    if blueprint.problems:
        return Hold(Reason.SERVICE_INVALID, "; ".join(map(str, blueprint.problems)), stalled=True)
    return None


def _is_current(instance: HopperInstance, blueprint: Blueprint | None, deployment: Manifest | None) -> bool:
    """Tell whether the Deployment was rendered from this blueprint, for an instance that is up; none, without one."""
    if blueprint is None or deployment is None:
        return blueprint is None and deployment is None
    pods = deployment["spec"]["template"]["metadata"].get("annotations", {})
    return bool(
        deployment["spec"].get("replicas", 1) == blueprint.replicas
        and deployment["metadata"].get("annotations", {}).get(ANNOTATION_REVISION) == revision(blueprint)
        and pods.get(ANNOTATION_RESTARTS) == restart_annotation(instance)
    )
