"""Avoidance of rollouts that no user has requested.

Every change of the pod template replaces the pods. Some differences alone are no reason for that: pods keep them until
their next rollout, or until the instance stops and starts again.
"""

from collections.abc import Iterator
from dataclasses import replace

from hopper.api.names import ANNOTATION_REVISION, LABEL_APP_PART_OF
from hopper.api.resources import Manifest
from hopper.domain.service.blueprint import Blueprint
from hopper.domain.service.drift import pod_template_matches
from hopper.domain.service.render.deployment import render_deployment
from hopper.domain.service.render.mode import Mode
from hopper.domain.service.revision import revision


def keep_running_pods(blueprint: Blueprint, mode: Mode, deployment: Manifest, live: Manifest) -> Manifest:
    """Return the rendered Deployment, with the live pod template if that is good enough until the next rollout.

    Pods keep the label of their project after reparenting, and limits by default after a change of the defaults. They
    keep everything that Hopper 0.1 rendered in another way: labels, checksum, and the missing bounds of tmpfs volumes.
    """
    if not live["spec"].get("replicas", 1):
        return deployment
    accepted = (variant for variant in _variants(blueprint, mode, deployment, live))
    return next((variant for variant in accepted if pod_template_matches(variant, live)), deployment)


def is_current_revision(blueprint: Blueprint, deployment: Manifest) -> bool:
    """Whether a live Deployment was rendered from this blueprint, by this version of Hopper or by 0.1."""
    found: str | None = deployment["metadata"].get("annotations", {}).get(ANNOTATION_REVISION)
    return found == revision(blueprint) or found == revision(replace(blueprint, has_pods_of_0_1=True))


def _variants(blueprint: Blueprint, mode: Mode, deployment: Manifest, live: Manifest) -> Iterator[Manifest]:
    yield _with_live_limits(blueprint, _with_live_project(deployment, live), live)
    old = render_deployment(replace(blueprint, has_pods_of_0_1=True), mode)
    yield _with_template(deployment, old["spec"]["template"])


def _with_live_project(deployment: Manifest, live: Manifest) -> Manifest:
    template = deployment["spec"]["template"]
    labels = {name: value for name, value in template["metadata"]["labels"].items() if name != LABEL_APP_PART_OF}
    live_labels = live["spec"]["template"]["metadata"].get("labels", {})
    kept = {LABEL_APP_PART_OF: live_labels[LABEL_APP_PART_OF]} if LABEL_APP_PART_OF in live_labels else {}
    return _with_template(deployment, {**template, "metadata": {**template["metadata"], "labels": labels | kept}})


def _with_live_limits(blueprint: Blueprint, deployment: Manifest, live: Manifest) -> Manifest:
    names = blueprint.defaulted_limits.keys()
    if not names:
        return deployment
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    running = {found["name"]: found for found in live["spec"]["template"]["spec"]["containers"]}
    live_limits = running.get(container["name"], {}).get("resources", {}).get("limits", {})
    limits = {name: value for name, value in container["resources"]["limits"].items() if name not in names}
    limits |= {name: live_limits[name] for name in names if name in live_limits}
    resources = {kind: amounts for kind, amounts in container["resources"].items() if kind != "limits"}
    resources |= {"limits": limits} if limits else {}
    container = {key: value for key, value in container.items() if key != "resources"}
    container |= {"resources": resources} if resources else {}
    return _with_template(deployment, {**template, "spec": {**template["spec"], "containers": [container]}})


def _with_template(deployment: Manifest, template: Manifest) -> Manifest:
    return {**deployment, "spec": {**deployment["spec"], "template": template}}
