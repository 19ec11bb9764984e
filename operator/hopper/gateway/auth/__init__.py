"""Who calls, and what they may do."""

from hopper.gateway.auth.authority import Authority, Caller, Open, Permission

__all__ = ["Authority", "Caller", "Open", "Permission"]
