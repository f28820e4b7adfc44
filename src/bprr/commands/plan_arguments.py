"""Arguments of ``bprr plan``, which `bprr replan` takes again from the plan's file."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bprr.commands.arguments import add_config, add_own_files, positive_number, whole_number

if TYPE_CHECKING:
    from bprr.plan.goal import Objective, Wish
    from bprr.plan.models import Served
    from bprr.settings.configuration import Settings

__all__ = ["add_arguments", "asked", "model_of", "settings_of", "wish_of"]

# Coordinates, or a city and its country's code.
ONE_PLACE = re.compile(r"\s*[-+\d.]+\s*,\s*[-+\d.]+\s*|[^,]+,\s*[A-Z]{2}\s*")
LEAST_RATE_PER_S = 1e-4  # a few in a day: they do not meet
# What a plan remembers of how it was asked for, so that it can be asked for again.
REMEMBERED = (
    "model", "quant", "upper_bound", "block_gb", "rate", "input", "output", "trace", "clients",
    "rtt", "slo", "objective", "forwarding", "speculation", "window",
    "wire_bytes", "engine", "reserve_gb", "hop_overhead", "mbit",
    "calibration", "method", "sessions", "prove", "seed", "served", "devices", "models",
)  # fmt: skip


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add all of them but the machines."""
    add = command.add_argument
    add("--model", default="", help="config.json, or a name such as meta-llama/Llama-3.1-70B")
    add("--quant", choices=("nf4", "int8", "none"), help="default: as the configuration says")
    add("--upper-bound", action="store_true", help="where blocks differ, the largest for all")
    add("--block-gb", type=positive_number, metavar="GB", help="measured memory of a block")
    add("--rate", type=positive_number, metavar="PER_S", help="sessions per second")
    add("--input", type=whole_number, default=128, metavar="N", help="tokens of a prompt")
    add("--output", type=whole_number, default=128, metavar="N", help="tokens of an answer")
    add("--trace", type=Path, metavar="FILE", help="instead of these three")
    add("--clients", metavar="PLACE,…", help="where sessions come from; or ; between places")
    add("--rtt", type=Path, metavar="FILE", help="round trips; else estimated by great circles")
    add("--slo", metavar="GOALS", help="ttft=5s,token=400ms@p95")
    add(
        "--objective",
        choices=("latency", "throughput", "latency-at-rate"),
        help="default: latency, with a rate latency-at-rate",
    )
    add("--forwarding", choices=("hub", "ring", "relay"), default="hub")
    add("--speculation", default="none", metavar="NAME[:KEY=VALUE,…]", help="of docs/policies.md")
    add("--window", choices=("idle_restart", "none", "warm"), default="idle_restart")
    add("--wire-bytes", type=int, choices=(1, 2), default=2, help="of a value on the wire")
    add("--engine", choices=("eager", "fused"), default="eager", help="of estimated machines")
    add("--reserve-gb", type=_not_negative, default=1.5, metavar="GB", help="left alone on a GPU")
    add("--hop-overhead", type=_not_negative, metavar="MS", help="measured cost of a hop")
    add("--mbit", type=positive_number, metavar="MBIT_PER_S", help="how fast prompts travel")
    add("--calibration", type=Path, metavar="FILE", help="what bprr calibrate wrote")
    add("--method", default="best", metavar="NAME", help="of bprr simulate; default: best")
    add("--sessions", type=whole_number, default=150, metavar="N", help="of each simulation")
    add("--prove", type=_not_negative, default=1.0, metavar="S", help="seconds for a proof")
    add("--seed", type=int, default=2025)
    add("--served", metavar="NAME", help="which model of a health monitor's report")
    add_own_files(command)
    add_config(command)


def _not_negative(text: str) -> float:
    if text.strip("0.") == "" and text:
        return 0.0
    return positive_number(text)


def asked(arguments: argparse.Namespace, swarm: Path) -> dict[str, Any]:
    """What a plan remembers."""
    values = {"swarm": swarm, **{name: getattr(arguments, name) for name in REMEMBERED}}
    return {
        name: value if isinstance(value, bool | int | float) else
        [str(each) for each in value] if isinstance(value, list) else str(value)
        for name, value in values.items() if value not in (None, [], False)
    }  # fmt: skip


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Settings with files of the user's own."""
    from bprr.commands.arguments import with_own_files
    from bprr.study.slices import settings_at

    return with_own_files(settings_at(arguments.config), arguments)


def model_of(arguments: argparse.Namespace, settings: Settings) -> Served:
    """The model, as it is stored."""
    from bprr.plan.models import served_model

    return served_model(
        arguments.model, arguments.quant, settings.all_models, arguments.upper_bound,
        arguments.block_gb,
    )  # fmt: skip


def wish_of(arguments: argparse.Namespace) -> Wish:
    """What is asked for."""
    from bprr.ground.errors import InputError
    from bprr.plan.calibrate import read_calibration
    from bprr.plan.goal import Wish, parse_goals

    loaded = arguments.rate is not None or arguments.trace is not None
    if arguments.trace is not None and arguments.rate is not None:
        raise InputError("command line", "--rate", arguments.rate, "--rate or --trace, not both")
    if arguments.rate is not None and arguments.rate < LEAST_RATE_PER_S:
        allowed = f"at least {LEAST_RATE_PER_S:g}; without it, one session at a time"
        raise InputError("command line", "--rate", arguments.rate, allowed)
    objective: Objective = arguments.objective or ("latency-at-rate" if loaded else "latency")
    if objective == "latency-at-rate" and not loaded:
        raise InputError("command line", "--objective", objective, "--rate or --trace with it")
    more: dict[str, Any] = {}
    if arguments.calibration is not None:
        found = read_calibration(arguments.calibration)
        more = {
            "hop_overhead_ms": found.hop_overhead_ms,
            "overhead_is_calibrated": True,
            "factors": dict(found.devices),
        }
    if arguments.hop_overhead is not None:
        overhead = arguments.hop_overhead
        more |= {
            "hop_overhead_ms": (0.8 * overhead, overhead, 1.25 * overhead),
            "overhead_is_calibrated": True,
        }
    if arguments.mbit is not None:
        more["mbit_per_s"] = (arguments.mbit,) * 3
    clients = _places(arguments.clients or "")
    return Wish(
        rate_per_s=arguments.rate,
        input_tokens=arguments.input,
        output_tokens=arguments.output,
        trace=arguments.trace,
        clients=clients,
        goals=parse_goals(arguments.slo) if arguments.slo else (),
        objective=objective,
        forwarding=arguments.forwarding,
        speculation=_speculation(arguments.speculation),
        window=arguments.window,
        wire_bytes=arguments.wire_bytes,
        engine=arguments.engine,
        reserve_gb=arguments.reserve_gb,
        requests=arguments.sessions,
        prove_s=arguments.prove,
        seed=arguments.seed,
        **more,
    )


def _places(text: str) -> tuple[str, ...]:
    """Places with ; between them; or commas, where those do not stand in a place itself."""
    whole = ";" in text or ONE_PLACE.fullmatch(text)
    return tuple(part.strip() for part in text.split(";" if whole else ",") if part.strip())


def _speculation(text: str) -> str | dict[str, dict[str, float]]:
    """A policy's name, or a name with options as in YAML."""
    from bprr.ground.errors import InputError
    from bprr.ground.registry import SPECULATION
    from bprr.settings.yaml_file import parse_yaml

    name, colon, rest = text.partition(":")
    if name not in SPECULATION:
        raise InputError("command line", "--speculation", name, ", ".join(SPECULATION))
    if not colon:
        return name
    options = {}
    for part in rest.split(","):
        key, equals, value = part.partition("=")
        if not equals:
            raise InputError("command line", "--speculation", part, "NAME:KEY=VALUE,…")
        options[key.strip()] = parse_yaml(value.strip(), "--speculation")
    return {name: options}
