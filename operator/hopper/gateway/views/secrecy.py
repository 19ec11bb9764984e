"""What of an instance is secret: not all of that says so itself."""

from dataclasses import replace

from hopper.api.instance import HopperInstance
from hopper.api.service import Overrides
from hopper.domain.service.merge import mark_inherited_secrets
from hopper.registry import TemplateIndex


def marked(instance: HopperInstance, templates: TemplateIndex) -> Overrides:
    """Return the overrides of an instance, in which all that is secret is marked so.

    A variable that the template keeps secret is so under another value as well. Of a template that is not known, that
    can be any.
    """
    overrides, ref = instance.spec.overrides or Overrides(), instance.spec.template_ref
    if ref is None:
        return overrides
    if template := templates.get(instance.namespace, ref.name):
        return mark_inherited_secrets(overrides, template.spec)
    env = (replace(it, secret=True) if it.secret is None and it.value is not None else it for it in overrides.env)
    return replace(overrides, env=tuple(env))
