"""Which model is served, and how it is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bprr.ground.errors import InputError
from bprr.ground.files import read_json
from bprr.ground.swarm import LanguageModel
from bprr.scenario.topologies import did_you_mean
from bprr.settings.hugging_face import architecture_of, read_architecture
from bprr.settings.messages import validated
from bprr.settings.model_file import model_entry

__all__ = ["Quant", "Served", "known_models", "served_model", "stored_as"]

TABLE = Path(__file__).with_name("models.json")
Quant = Literal["nf4", "int8", "none"]
# As the paper stores BLOOM: NF4 with a scale of 16 bits per 64 values, and 1 % beside.
STORED: Mapping[Quant, dict[str, float]] = {
    "nf4": {"bits_per_parameter": 4.25, "storage_overhead": 1.01},
    "int8": {"bits_per_parameter": 8.0, "storage_overhead": 1.01},
    "none": {"bits_per_parameter": 16.0, "storage_overhead": 1.0},
}


@cache
def known_models() -> dict[str, Mapping[str, Any]]:
    """Configurations of the packaged table, by their names at Hugging Face."""
    content: dict[str, Mapping[str, Any]] = read_json(TABLE, "table of models")
    return content


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.rpartition("/")[2].lower()).strip("_")


class Served(NamedTuple):
    """A model, the share of a block's parameters that a token reads, and its name for people."""

    model: LanguageModel
    read_share: float = 1.0
    title: str = ""


def served_model(
    said: str,
    quant: Quant | None,
    named: Mapping[str, LanguageModel],
    upper_bound: bool = False,
    block_gb: float | None = None,
) -> Served:
    """Model of a ``config.json``, or by its name.

    Parameters
    ----------
    said : str
        A file; a name at Hugging Face (the packaged table has some), or one of the settings.
    quant : str, optional
        How blocks are stored; as the configuration says if not given.
    named : mapping
        Models of the settings.
    upper_bound : bool
        Where blocks differ, take the largest block and cache for all.
    block_gb : float, optional
        Measured memory of a block, instead of the one that is counted.

    Raises
    ------
    InputError
        If nobody knows it, or its blocks differ.
    """
    path, found = Path(said), {_plain(key): key for key in known_models()}
    architecture = None
    if path.suffix == ".json" or path.is_file():
        name = path.resolve().parent.name if path.stem == "config" else path.stem
        architecture = read_architecture(path)
    elif said in named:
        name, model = said, named[said]
    elif _plain(said) in found:
        name = found[_plain(said)]
        architecture = architecture_of(known_models()[name], name)
    else:
        known = [*known_models(), *named]
        allowed = f"{did_you_mean(said, known)}a config.json, or {', '.join(known)}"
        raise InputError("command line", "--model", said, allowed)
    if architecture is not None:
        model = validated(LanguageModel, model_entry(architecture, said, upper_bound), said)
    model = model.model_copy(update={"name": _plain(name) or "model"})
    if quant is not None:
        model = stored_as(model, quant)
    if block_gb is not None:
        model = model.model_copy(update={"block_gb": block_gb})
    return Served(model, 1.0 if architecture is None else architecture.read_share, name)


def stored_as(model: LanguageModel, quant: Quant) -> LanguageModel:
    """The model with its parameters stored otherwise.

    Raises
    ------
    InputError
        If its parameters are not known.
    """
    if model.parameters_per_block is None:
        allowed = f"parameters_per_block of {model.name}; or no --quant"
        raise InputError("command line", "--quant", quant, allowed)
    content = {
        **model.model_dump(exclude_none=True, exclude={"block_gb", "name"}),
        **STORED[quant],
    }
    return LanguageModel(**content).model_copy(update={"name": model.name})
