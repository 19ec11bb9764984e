"""Sample services in the form that users write: `blueprint({"ports": [{"containerPort": 80}]})`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from hopper.api.instance import HopperInstance, parse_instance
from hopper.api.service import Overrides
from hopper.api.template import HopperTemplate, TemplateSpec, parse_template
from hopper.domain.service.blueprint import Blueprint, prepare_blueprint
from hopper.domain.service.merge import EffectiveService, merge
from hopper.domain.service.render import Manifest, Mode, render_objects

Wire = dict[str, Any]

# Name of the objects of `blueprint(…)`.
BASE = "hopper-shop-web-1"
PORT: Wire = {"ports": [{"containerPort": 8080}]}

_SPEC: TypeAdapter[TemplateSpec] = TypeAdapter(TemplateSpec)
_OVERRIDES: TypeAdapter[Overrides] = TypeAdapter(Overrides)

# A template with every field.
FULL: Wire = {
    "image": "registry.example.com:5000/team/web:1.2",
    "description": "Everything at once",
    "command": ["/bin/web"],
    "args": ["--port", "80"],
    "workingDir": "/srv",
    "user": "1000:2000",
    "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": "1000m", "memory": "1.5Gi"}},
    "dependsOn": ["db"],
    "restart": "Always",
    "ports": [
        {"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1"},
        {"containerPort": 443},
        {"containerPort": 443, "protocol": "UDP"},
    ],
    "volumes": [
        {"target": "/data", "source": "web_data", "size": "0.5Gi"},
        {"target": "/backup", "source": "web_data", "readOnly": True},
        {"target": "/cache", "type": "tmpfs", "size": "64Mi"},
        {"target": "/settings", "type": "config", "source": "settings"},
        {"target": "/old", "source": "archive", "external": True},
    ],
    "env": [
        {"name": "TZ", "value": "Etc/UTC"},
        {"name": "EMPTY", "value": ""},
        {"name": "PASSWORD", "value": "s3cret-canary", "secret": True},
        {"name": "AAA_URL", "value": "postgres://web:$(PASSWORD)@db/$(TZ)"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "web"}}},
        {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "levels", "key": "web.level"}}},
    ],
    "labels": [{"name": "example.com/tier", "value": "web"}, {"name": "plain"}],
    "domains": [{"domain": "web.example.com"}, {"domain": "*.example.org", "proxyPort": 443}],
    "healthcheck": {"test": ["CMD-SHELL", "wget -q localhost"], "intervalSeconds": 10, "startPeriodSeconds": 25},
    "configFiles": [
        {"path": "/etc/web/web.conf", "content": "listen 80\n", "mode": "0600"},
        {"path": "/etc/web/motd", "content": "I am {{ instance.path }}\n", "template": True},
        {"path": "/etc/web/pass_word", "content": "password={{ env.PASSWORD }}\n", "template": True},
    ],
}


def template(spec: Wire | None = None, name: str = "web-server", **metadata: Any) -> HopperTemplate:
    """Return a template. The image defaults to `web:1`."""
    return parse_template({"metadata": _metadata(name, **metadata), "spec": {"image": "web:1", **(spec or {})}})


def instance(name: str = "web-1", scope: str = "Orchestration", **spec: Any) -> HopperInstance:
    """Return an instance with these fields in its spec."""
    status = spec.pop("status", {})
    return parse_instance({"metadata": _metadata(name), "spec": {"scope": scope, **spec}, "status": status})


def spec_of(wire: Wire | None = None) -> TemplateSpec:
    return _SPEC.validate_python({"image": "web:1", **(wire or {})})


def overrides_of(wire: Wire) -> Overrides:
    return _OVERRIDES.validate_python(wire)


def merged(spec: Wire | None = None, overrides: Wire | None = None) -> EffectiveService:
    return merge(spec_of(spec), overrides_of(overrides) if overrides is not None else None)


def blueprint(spec: Wire | None = None, overrides: Wire | None = None, **fields: Any) -> Blueprint:
    """Return the blueprint of an instance below the project `shop` with this template spec."""
    subject = instance(**({"overrides": overrides} if overrides else {}), **fields)
    return replace(prepare_blueprint(subject, (PROJECT, GLOBAL), template(spec)), checksum_key="key")


def rendered(subject: Blueprint, mode: Mode = Mode.UP) -> dict[str, Manifest]:
    """Return the rendered objects by kind. Only the last claim is included."""
    return {manifest["kind"]: manifest for manifest in render_objects(subject, mode).objects}


def _metadata(name: str, **more: Any) -> Wire:
    return {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "creationTimestamp": "2026-03-01T11:00:00Z",
        **more,
    }


PROJECT = instance("shop", "Project")
GLOBAL = instance("global", "Global")


def container(subject: Blueprint) -> dict[str, Any]:
    """Return the container of the pods."""
    return pod(subject)["containers"][0]


def pod(subject: Blueprint) -> dict[str, Any]:
    """Return the spec of the pods."""
    return rendered(subject)["Deployment"]["spec"]["template"]["spec"]


def pod_template(subject: Blueprint, mode: Mode = Mode.UP) -> dict[str, Any]:
    """Return the pod template."""
    return rendered(subject, mode)["Deployment"]["spec"]["template"]


def checksum(subject: Blueprint) -> str | None:
    """Return the checksum annotation of the pods, None if there is none."""
    annotation: str | None = pod_template(subject)["metadata"].get("annotations", {}).get("hopper.dev/checksum")
    return annotation
