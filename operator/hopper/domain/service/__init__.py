"""What an instance with a template runs: merged, checked, rendered, compared, judged. Pure.

merge.merge(template: TemplateSpec, overrides: Overrides | None) -> EffectiveService
    The effective service (`.spec`, in the form of a template), with `.provenance`: path of a value → `Origin`.
naming.names_of(instance, ancestors, template_name, prefix="hopper", namesakes: Namesakes | None = None) -> ObjectNames
    `.base`, `.claim(volume)`, `.selector`, `.labels`; `selector_of(instance_name)` alone gives the selector. Only with
    `Namesakes(tree)` it is certain that no two instances share a name.
problems.problems(effective: EffectiveService) -> tuple[ServiceProblem, ...]
    What must not or cannot run; `str(problem)` names field and fix. For a template alone: merge it with None.
blueprint.prepare(instance, ancestors, template: HopperTemplate, prefix="hopper", names=None) -> Blueprint
    All of the above at once, files rendered: `.problems`, `.warnings`, `.names`, `.replicas`. Never raises.
render.mode_of(phase: Phase, effective: DesiredState | None) -> Mode | None
    How much there is to be. None: leave everything as it is.
render.render(blueprint, mode: Mode) -> Rendered
    `.objects`: manifests in the order in which to apply them; `.revision`; `.warnings`. ValueError: it has problems.
drift.differs(rendered, live) -> tuple[str, ...]
    Paths at which a live object is not what was rendered.
drift.removals(rendered, live) -> list[dict]
    JSON patch that takes away what others added to what is ours, which server-side apply leaves there. For the object
    as it comes back from an apply; and, where the apply was refused (422), for the live object before another try.
workload.observe(deployment: dict | None, pods, now) -> Workload
    What the pods say: available, gone, failure, message. `workload.recheck_after(...)` tells when only time will tell.
explain.explain(blueprint, ancestors) -> tuple[Explained, ...]
    Every value and where it comes from; `str` of each is a line to print. Secret values are hidden.
"""
