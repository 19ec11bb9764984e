"""Who calls, and what they may do."""

from hopper.gateway.auth.authority import Authority, Caller, Open, Permission
from hopper.gateway.auth.keys import ApiKeys
from hopper.gateway.auth.tokens import Tokens

__all__ = ["ApiKeys", "Authority", "Caller", "Open", "Permission", "Tokens"]
