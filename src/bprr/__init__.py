"""Block placement and request routing for geographically distributed LLM inference."""

TYPE_CHECKING = False  # that of typing takes time to import
if TYPE_CHECKING:
    from bprr.ground.swarm import Device, LanguageModel, Swarm
    from bprr.placement.base import Placement
    from bprr.scenario.scenario import load_scenario
    from bprr.scenario.workload import Workload
    from bprr.settings.configuration import load_settings
    from bprr.study.api import place, simulate, solve, sweep

__version__ = "0.1.0"
__all__ = [
    "Device",
    "LanguageModel",
    "Placement",
    "Swarm",
    "Workload",
    "load_scenario",
    "load_settings",
    "place",
    "simulate",
    "solve",
    "sweep",
]

# Imported when they are asked for: `import bprr` alone is what every command starts with.
_HOMES = {
    "Device": "bprr.ground.swarm",
    "LanguageModel": "bprr.ground.swarm",
    "Placement": "bprr.placement.base",
    "Swarm": "bprr.ground.swarm",
    "Workload": "bprr.scenario.workload",
    "load_scenario": "bprr.scenario.scenario",
    "load_settings": "bprr.settings.configuration",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'bprr' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES.get(name, "bprr.study.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
