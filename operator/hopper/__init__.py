"""Hopper runs hierarchies of long-lived instances on Kubernetes."""

from importlib.metadata import version

__version__ = version("hopper-operator")
