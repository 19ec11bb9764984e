"""Gather the blueprint of an instance and the state of its workload."""

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from hopper.api.conditions import Reason
from hopper.api.enums import DesiredState, Phase
from hopper.api.instance import HopperInstance
from hopper.api.names import ANNOTATION_RESTARTS
from hopper.api.resources import Manifest, ObjectKey
from hopper.api.template import HopperTemplate, ResourceAmounts
from hopper.domain.dependencies import find_dependency_cycle, missing_dependencies
from hopper.domain.lifecycle import FINAL
from hopper.domain.objects import CLAIM
from hopper.domain.observed import Observed, Runtime
from hopper.domain.ownership import belongs_to
from hopper.domain.plan import Hold
from hopper.domain.renaming import Takeover, takeover_of
from hopper.domain.service.blueprint import NO_LIMITS, Blueprint, prepare_blueprint
from hopper.domain.service.domains import NO_SUFFIXES, DomainPolicy, DomainProblem, taken_domain
from hopper.domain.service.naming import NameConflicts, name_objects
from hopper.domain.service.render import checksum_key, restart_annotation
from hopper.domain.service.rollout import is_current_revision
from hopper.domain.tree import Tree, predecessor_of
from hopper.domain.workload import Workload, assess_workload, has_ended, recheck_after
from hopper.registry import OwnedObjectIndex, TemplateIndex

_CACHED_BLUEPRINTS = 1000
_CHECKSUM_KEY_BYTES = 32
_FINAL_STATES = frozenset({DesiredState.ARCHIVED, DesiredState.TERMINATED})


class RuntimeGatherer:
    """Reader of templates and owned objects from their indexes. It caches blueprints until a source changes."""

    def __init__(
        self,
        templates: TemplateIndex,
        owned_objects: OwnedObjectIndex,
        prefix: str,
        domain_policy: DomainPolicy = NO_SUFFIXES,
        default_limits: ResourceAmounts = NO_LIMITS,
    ) -> None:
        self._templates = templates
        self._owned_objects = owned_objects
        self._prefix = prefix
        self._domain_policy = domain_policy
        self._default_limits = default_limits
        self._blueprints: OrderedDict[str, tuple[object, Blueprint]] = OrderedDict()  # uid → sources and blueprint

    def gather(
        self, instance: HopperInstance, ancestors: Sequence[HopperInstance], tree: Tree, now: datetime
    ) -> tuple[Runtime, Workload] | None:
        """Return runtime and workload; None for an instance without a template and without owned objects."""
        objects = self._owned_objects.of(instance.namespace, instance.name)
        if instance.spec.template_ref is None and not objects:
            self.forget(instance.namespace, instance.name)
            return None
        pods = _live_pods(objects)
        template = self._template(instance)
        blueprint = self._blueprint(instance, ancestors, template, tree) if template else None
        domain_problems = self._claim_domains(instance, blueprint)
        if blueprint and domain_problems:
            refused = frozenset(problem.domain for problem in domain_problems)
            blueprint = replace(blueprint, refused_domains=refused)
        owned = self._owned(instance, blueprint)
        problem = _template_problem(instance, blueprint)
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
            recheck_after=recheck_after(deployment, pods, now),
            domain_problems=domain_problems,
        )
        workload = assess_workload(deployment, pods, now)
        if blueprint and not problem and not runtime.current:
            message = "waits for a change to be rolled out" if workload.available else workload.message
            workload = replace(workload, available=False, rolling_out=True, message=message)
        if instance.spec.template_ref is None and deployment is None:
            # A logical instance that still owns claims of an earlier template. It has no workload to wait for.
            workload = replace(workload, available=workload.gone)
        return runtime, workload

    def forget(self, namespace: str, name: str) -> None:
        """Release the domains of an instance that is gone or has no service."""
        self._owned_objects.domains.reserve(namespace, name, ())

    def _claim_domains(self, instance: HopperInstance, blueprint: Blueprint | None) -> tuple[DomainProblem, ...]:
        """Claim the domains of an instance; return those that it does not get."""
        ends = instance.spec.desired_state in _FINAL_STATES or instance.status.phase in FINAL
        if blueprint is None or blueprint.problems or ends or instance.metadata.deletion_timestamp is not None:
            self.forget(instance.namespace, instance.name)
            return ()
        domains = [entry.domain for entry in blueprint.spec.domains]
        problems = {domain: self._domain_policy.problem(instance.namespace, domain) for domain in domains}
        allowed = [domain for domain, problem in problems.items() if problem is None]
        renamed = instance.spec.renamed_from if instance.status.phase is Phase.CREATED else None
        predecessor = renamed.name if renamed else None
        taken = self._owned_objects.domains.reserve(instance.namespace, instance.name, allowed, predecessor)
        problems |= {domain: taken_domain(domain, instance.namespace, holder) for domain, holder in taken.items()}
        return tuple(problem for problem in problems.values() if problem is not None)

    def refresh_owned(self, o: Observed) -> Observed:
        """Return the observation with the owned objects as the index holds them now, and everything else unchanged."""
        if o.runtime is None:
            return o
        return replace(o, runtime=replace(o.runtime, owned=self._owned(o.instance, o.runtime.blueprint)))

    def takeover(self, successor: HopperInstance, tree: Tree) -> Takeover | None:
        """Return the takeover that a successor must finish before it can start; None if there is none."""
        if successor.spec.renamed_from is None:
            return None
        objects = self._owned_objects.of(successor.namespace, successor.spec.renamed_from.name)
        predecessor = predecessor_of(successor, tree)
        claims = tuple(
            live
            for (kind, _), live in objects.items()
            if kind == CLAIM and predecessor and belongs_to(live, predecessor)
        )
        return takeover_of(successor, tree, pods=bool(_live_pods(objects)), claims=claims)

    def _owned(self, instance: HopperInstance, blueprint: Blueprint | None) -> dict[ObjectKey, Manifest]:
        """Return the owned objects without pods."""
        objects = self._owned_objects.of(instance.namespace, instance.name)
        name = blueprint.names.base if blueprint else instance.status.workload_name
        return {key: live for key, live in objects.items() if key[0] != "Pod" and belongs_to(live, instance, name)}

    def _template(self, instance: HopperInstance) -> HopperTemplate | None:
        reference = instance.spec.template_ref
        return self._templates.get(instance.namespace, reference.name) if reference else None

    def _blueprint(
        self, instance: HopperInstance, ancestors: Sequence[HopperInstance], template: HopperTemplate, tree: Tree
    ) -> Blueprint:
        """Return the blueprint, from the cache if instance, ancestors, template and names are unchanged."""
        names = name_objects(instance, ancestors, template.name, self._prefix, NameConflicts(tree, self._assigned_name))
        sources = (
            instance.metadata.generation,
            names.base,
            names.claims,
            template.metadata.uid,
            template.metadata.generation,
            tuple((above.metadata.uid, above.metadata.generation) for above in ancestors),
        )
        uid = instance.metadata.uid
        cached_sources, cached = self._blueprints.get(uid, (None, None))
        blueprint = cached if cached_sources == sources else None
        if blueprint is None:
            blueprint = prepare_blueprint(instance, ancestors, template, names=names)
            blueprint = replace(blueprint, default_limits=self._default_limits)
        key = self._checksum_key(instance, blueprint, cached.checksum_key if cached else "")
        if key != blueprint.checksum_key:
            blueprint = replace(blueprint, checksum_key=key)
        self._blueprints[uid] = sources, blueprint
        self._blueprints.move_to_end(uid)
        if len(self._blueprints) > _CACHED_BLUEPRINTS:
            self._blueprints.popitem(last=False)
        return blueprint

    def _checksum_key(self, instance: HopperInstance, blueprint: Blueprint, known: str) -> str:
        """Return the key of the checksum: from the Secret, else the known one, so that a lost Secret restarts no pods.

        A new key is random.
        """
        if not blueprint.has_secret_values:
            return ""
        objects = self._owned_objects.of(instance.namespace, instance.name)
        stored = checksum_key(objects.get(("Secret", blueprint.names.base)))
        return stored or known or secrets.token_hex(_CHECKSUM_KEY_BYTES)

    def _assigned_name(self, instance: HopperInstance) -> str | None:
        """Return the name of an instance's objects before its status holds it; None if the instance has none yet."""
        cached = self._blueprints.get(instance.metadata.uid)
        return cached[1].names.base if cached else None


def _live_pods(objects: Mapping[ObjectKey, Manifest]) -> list[Manifest]:
    return [live for (kind, _), live in objects.items() if kind == "Pod" and not has_ended(live)]


def _deployment(owned: dict[ObjectKey, Manifest]) -> Manifest | None:
    return next((live for (kind, _), live in owned.items() if kind == "Deployment"), None)


def _template_problem(instance: HopperInstance, blueprint: Blueprint | None) -> Hold | None:
    """Return why the template cannot be rendered; None if it can, or if the instance names none."""
    reference = instance.spec.template_ref
    if reference is None:
        return None
    if blueprint is None:
        message = (
            f'spec.templateRef.name: template "{reference.name}" does not exist: create it or name another template; '
            "what runs keeps running"
        )
        return Hold(Reason.TEMPLATE_NOT_FOUND, message)
    if blueprint.problems:
        return Hold(Reason.SERVICE_INVALID, "; ".join(map(str, blueprint.problems)), stalled=True)
    return None


def _is_current(instance: HopperInstance, blueprint: Blueprint | None, deployment: Manifest | None) -> bool:
    """Whether the Deployment was rendered from this blueprint for an active instance, or neither of the two exists."""
    if blueprint is None or deployment is None:
        return blueprint is None and deployment is None
    pod_annotations = deployment["spec"]["template"]["metadata"].get("annotations", {})
    return bool(
        deployment["spec"].get("replicas", 1) == blueprint.replicas
        and is_current_revision(blueprint, deployment)
        and pod_annotations.get(ANNOTATION_RESTARTS) == restart_annotation(instance)
    )
