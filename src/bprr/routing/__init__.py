"""Through which chain of servers a request goes: one module per policy, found by name."""

from bprr.routing.base import Request, Route, Router, RoutingContext, routing_policies

__all__ = ["Request", "Route", "Router", "RoutingContext", "routing_policies"]
