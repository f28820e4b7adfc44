"""PETALS as it is published, made importable beside the one hivemind that installs on Linux.

hivemind 1.1.12 no longer offers the names of its submodules at the top level, where PETALS looks
for them; they are put there once, before PETALS is imported.
"""

from __future__ import annotations

import importlib
import os

__all__ = ["offer_names"]

SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "BITSANDBYTES_NOWELCOME": "1",
}
SUBMODULES = (
    "utils", "utils.asyncio", "utils.networking", "utils.timed_storage", "utils.nested",
    "utils.tensor_descr", "utils.serializer", "utils.logging", "utils.streaming", "compression",
    "p2p", "dht", "dht.node", "moe", "moe.server", "moe.client", "moe.expert_uid", "proto",
)  # fmt: skip


def offer_names() -> None:
    """Put the public names of hivemind's submodules at its top level, where missing."""
    os.environ.update(SETTINGS)
    hivemind = importlib.import_module("hivemind")
    for name in SUBMODULES:
        try:
            module = importlib.import_module(f"hivemind.{name}")
        except ImportError:
            continue
        for public, value in vars(module).items():
            if not public.startswith("_") and not hasattr(hivemind, public):
                setattr(hivemind, public, value)
