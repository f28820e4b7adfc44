"""The device that is measured: choice, memory, clock, synchronisation, pinning."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass

import psutil
import torch

from bprr.ground.errors import InputError
from bprr.measure.manifest import processor

__all__ = ["DEVICES", "Hardware", "find_hardware", "pin_threads"]

DEVICES = ("cuda", "mps", "cpu")


def pin_threads(threads: int | None) -> int:
    """Fix the number of compute threads (by default one per core) and the cores they may use.

    Raises
    ------
    InputError
        If more threads are asked for than there are cores to pin them to.
    """
    can_pin = hasattr(os, "sched_setaffinity")
    cores = sorted(os.sched_getaffinity(0)) if can_pin else list(range(os.cpu_count() or 1))
    count = len(cores) if threads is None else threads
    if not 1 <= count <= len(cores):
        raise InputError("--threads", "count", threads, f"1 to {len(cores)}, the cores available")
    if can_pin:
        # The last cores: the first one usually serves the interrupts.
        os.sched_setaffinity(0, cores[-count:])
    torch.set_num_threads(count)
    return count


def _nvidia(query: str) -> str | None:
    """One value from the NVIDIA driver's own tool; None without it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    command += [f"--id={torch.cuda.current_device()}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip() or None if done.returncode == 0 else None


@dataclass(frozen=True)
class Hardware:
    """A kind of device that PyTorch can compute on, by its name there (`DEVICES`)."""

    kind: str

    @property
    def torch_device(self) -> torch.device:
        """Device to put tensors on."""
        return torch.device(self.kind)

    def synchronise(self) -> None:
        """Wait until everything that was started has been computed."""
        if self.kind == "cuda":
            torch.cuda.synchronize()
        elif self.kind == "mps":
            torch.mps.synchronize()

    def allocated_bytes(self) -> int:
        """Memory in use (bytes): the device allocator's count, on a CPU the resident memory."""
        if self.kind == "cuda":
            return int(torch.cuda.memory_allocated())
        if self.kind == "mps":
            return int(torch.mps.current_allocated_memory())
        return int(psutil.Process().memory_info().rss)

    def free_bytes(self) -> int:
        """Memory that can still be allocated (bytes)."""
        if self.kind == "cuda":
            return int(torch.cuda.mem_get_info()[0])
        if self.kind == "mps":
            return self.total_bytes() - int(torch.mps.driver_allocated_memory())
        return int(psutil.virtual_memory().available)

    def total_bytes(self) -> int:
        """Memory of the device (bytes)."""
        if self.kind == "cuda":
            return int(torch.cuda.mem_get_info()[1])
        if self.kind == "mps":
            return int(torch.mps.recommended_max_memory())
        return int(psutil.virtual_memory().total)

    def name(self) -> str:
        """What the device calls itself; never the name of the machine."""
        return str(torch.cuda.get_device_name()) if self.kind == "cuda" else processor()

    def driver(self) -> str:
        """Version of what drives the device."""
        if self.kind == "cuda":
            return f"driver {_nvidia('driver_version') or 'unknown'}, CUDA {torch.version.cuda}"
        return f"{platform.system()} {platform.machine()}"

    def condition(self) -> dict[str, float | None]:
        """Clock (MHz), temperature (°C), load and priority now; None where nobody tells."""
        clock_mhz = temperature_c = None
        if self.kind == "cuda":
            if answer := _nvidia("clocks.sm,temperature.gpu"):
                clock_mhz, temperature_c = (float(part) for part in answer.split(","))
        elif frequency := psutil.cpu_freq():
            clock_mhz = float(frequency.current)
        return {
            "clock_mhz": clock_mhz,
            "temperature_c": temperature_c,
            "load_1min": psutil.getloadavg()[0],
            "niceness": psutil.Process().nice(),
        }


def find_hardware(kind: str | None = None) -> Hardware:
    """Device by name, or the fastest kind there is.

    Raises
    ------
    InputError
        If PyTorch cannot compute on the named device here.
    """
    present = (torch.cuda.is_available(), torch.backends.mps.is_available(), True)
    usable = [name for name, usable in zip(DEVICES, present, strict=True) if usable]
    if kind is None:
        return Hardware(usable[0])
    if kind not in usable:
        raise InputError("--device", "name", kind, ", ".join(usable) + " on this machine")
    return Hardware(kind)
