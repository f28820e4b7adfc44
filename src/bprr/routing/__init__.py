"""Through which chain of servers a request goes: one module per policy, found by name."""

from bprr.routing.base import Router, RoutingContext, routing_policies

__all__ = ["Router", "RoutingContext", "routing_policies"]
