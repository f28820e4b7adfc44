"""An activation on its way between client and server: tensor to bytes and back."""

from __future__ import annotations

import torch

__all__ = ["from_bytes", "to_bytes"]


def to_bytes(activation: torch.Tensor) -> bytes:
    """Values of an activation in row order; its shape and type travel separately.

    Parameters
    ----------
    activation : Tensor
        On any device, of any floating type.
    """
    values = activation.detach().to("cpu").contiguous()
    # NumPy has no bfloat16, so the bytes are taken as they are.
    return values.view(torch.uint8).numpy().tobytes()


def from_bytes(
    payload: bytes, size: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """Activation whose values `to_bytes` gave.

    Parameters
    ----------
    payload : bytes
        Values in row order.
    size : tuple of int
        Shape of the activation.
    dtype, device
        Type of the values, and where to put them.
    """
    values = torch.frombuffer(bytearray(payload), dtype=dtype)
    return values.reshape(size).to(device)
