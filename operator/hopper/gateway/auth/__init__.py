"""Authentication and authorization of callers."""

from hopper.gateway.auth.api_keys import ApiKeyAuthority
from hopper.gateway.auth.authority import Authority, Caller, NoAuthentication, Permission, Purpose
from hopper.gateway.auth.tokens import TokenAuthority

__all__ = ["ApiKeyAuthority", "Authority", "Caller", "NoAuthentication", "Permission", "Purpose", "TokenAuthority"]
