"""How many bits the parameters of a model are stored in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bprr.ground.errors import InputError

__all__ = ["stored_bits"]

TYPES = {"float32": 32.0, "bfloat16": 16.0, "float16": 16.0}
# With a scale of 8 bits per 32 values (mxfp4), one of 8 bits per 16 (nvfp4), and one of 16 bits
# per 64 values (nf4: 4.25 bits are what the paper stores BLOOM in).
FORMATS = {
    "fp8": 8.0,
    "fbgemm_fp8": 8.0,
    "mxfp4": 4.25,
    "nvfp4": 4.5,
    "int8": 8.0,
    "w8a8_sq": 8.0,
    "w4a16": 4.25,
    "w4a16_awq": 4.25,
    "w4a8_awq": 4.25,
}


def stored_bits(content: Mapping[str, Any], separate: Any, where: object) -> tuple[float, float]:
    """Bits per parameter, and per parameter of an expert.

    Parameters
    ----------
    content : mapping
        The configuration.
    separate : mapping, optional
        Content of a ``hf_quant_config.json``.

    Raises
    ------
    InputError
        If it is stored in a way that is not known.
    """
    inner = content.get("text_config")
    both = {**(inner if isinstance(inner, dict) else {}), **content}
    named = both.get("dtype") or both.get("torch_dtype") or "bfloat16"
    if named not in TYPES:
        raise InputError(where, "dtype", named, ", ".join(TYPES))
    plain = TYPES[named]
    about = both.get("quantization_config")
    if about is None and isinstance(separate, dict):
        about = {"quant_method": (separate.get("quantization") or {}).get("quant_algo")}
    if about is None:
        return plain, plain
    bits = _bits(about)
    if bits is None:
        allowed = f"bits, a known method ({', '.join(FORMATS)}), or bits of the model file"
        raise InputError(where, "quantization_config", about, allowed)
    # mxfp4 is of the experts alone; attention stays as it was.
    return (plain if about.get("quant_method") == "mxfp4" else bits), bits


def _bits(about: Any) -> float | None:
    if not isinstance(about, dict):
        return None
    method = str(about.get("quant_method")).lower()
    if about.get("load_in_4bit") or about.get("_load_in_4bit"):
        return 4.25
    if about.get("load_in_8bit") or about.get("_load_in_8bit"):
        return 8.0
    given: Any = about.get("bits")
    groups = about.get("config_groups")
    if given is None and isinstance(groups, dict):
        weights = [group.get("weights") or {} for group in groups.values()]
        given = next((each.get("num_bits") for each in weights), None)
    if isinstance(given, int | float) and 1 <= given <= 32:
        # A scale and a zero of each group of, say, 128 values.
        size = about.get("group_size", 128 if given < 8 else 0)
        return given + (16 + given) / size if isinstance(size, int) and size > 0 else float(given)
    return FORMATS.get(method)
