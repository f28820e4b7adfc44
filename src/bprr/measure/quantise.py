"""Weight formats a device supports: plain floating point, and 8 or 4 bits through bitsandbytes."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass

import torch
from torch import nn

from bprr.ground.errors import InputError
from bprr.measure.hardware import Hardware

__all__ = ["WEIGHT_FORMATS", "WeightFormat", "quantise_linear_layers", "weight_format"]

_PACKAGE = "bitsandbytes"


@dataclass(frozen=True)
class WeightFormat:
    """How parameters and activations are stored."""

    name: str
    activations: torch.dtype  # also of caches and of the parameters that stay unquantised
    bits_per_parameter: float  # of a linear layer; NF4 adds a float32 scale per 64 weights

    @property
    def quantised(self) -> bool:
        """Whether linear layers are stored in fewer bits than activations."""
        return self.bits_per_parameter < 8 * self.activations.itemsize

    @property
    def bytes_per_parameter(self) -> float:
        """Storage of one weight of a linear layer (bytes)."""
        return self.bits_per_parameter / 8


_KNOWN = (
    WeightFormat("float32", torch.float32, 32),
    WeightFormat("bfloat16", torch.bfloat16, 16),
    WeightFormat("int8", torch.bfloat16, 8),
    WeightFormat("nf4", torch.bfloat16, 4.5),
)
WEIGHT_FORMATS = {known.name: known for known in _KNOWN}


def weight_format(name: str, hardware: Hardware) -> WeightFormat:
    """Format by name, if the device can compute with it.

    Raises
    ------
    InputError
        If the name is unknown or the device does not support the format.
    """
    if name not in WEIGHT_FORMATS:
        raise InputError("--weights", "format", name, ", ".join(WEIGHT_FORMATS))
    found = WEIGHT_FORMATS[name]
    plain = ", ".join(known.name for known in _KNOWN if not known.quantised)
    if found.quantised and hardware.kind == "mps":
        raise InputError("--weights", "format", name, f"{plain} on mps (no 8- or 4-bit kernels)")
    if found.quantised and importlib.util.find_spec(_PACKAGE) is None:
        allowed = f"{plain}, unless the package {_PACKAGE} is installed"
        raise InputError("--weights", "format", name, allowed)
    return found


def _quantised_layer(linear: nn.Linear, chosen: WeightFormat) -> nn.Module:
    package = importlib.import_module(_PACKAGE)
    sizes = (linear.in_features, linear.out_features)
    has_bias = linear.bias is not None
    if chosen.name == "int8":
        layer = package.nn.Linear8bitLt(*sizes, bias=has_bias, has_fp16_weights=False)
        weight = package.nn.Int8Params(linear.weight.data, requires_grad=False)
    else:
        layer = package.nn.Linear4bit(
            *sizes, bias=has_bias, compute_dtype=chosen.activations, quant_type="nf4"
        )
        weight = package.nn.Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4")
    layer.weight, layer.bias = weight, linear.bias
    layer.to(linear.weight.device)  # the move to a device is what quantises
    return layer  # type: ignore[no-any-return]


def quantise_linear_layers(block: nn.Module, chosen: WeightFormat) -> None:
    """Replace every linear layer of a block by its quantised form, in place."""
    for name, child in block.named_children():
        if isinstance(child, nn.Linear):
            setattr(block, name, _quantised_layer(child, chosen))
        else:
            quantise_linear_layers(child, chosen)
