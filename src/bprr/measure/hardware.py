"""The device that is measured: choice, memory, clock, synchronisation, pinning."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from bprr.ground.errors import InputError

__all__ = ["DEVICES", "Hardware", "find_hardware", "pin_threads", "resident_bytes"]

DEVICES = ("cuda", "mps", "cpu")
_PROC = Path("/proc")


def pin_threads(threads: int | None) -> int:
    """Fix the number of compute threads and the cores they may use.

    Parameters
    ----------
    threads : int, optional
        Threads to use; by default one per core this process may run on.

    Returns
    -------
    int
        Threads in use.

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


def _field(path: Path, key: str) -> str | None:
    """Value of the first ``key: value`` line of a /proc file; None where there is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == key), None)


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM (bytes); None where the system does not tell."""
    found = _field(_PROC / "self" / "status", "VmRSS")
    return None if found is None else int(found.split()[0]) * 1024


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
    """A kind of device that PyTorch can compute on.

    Parameters
    ----------
    kind : {"cuda", "mps", "cpu"}
        Name of the device in PyTorch.
    """

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

    def allocated_bytes(self) -> int | None:
        """Memory in use (bytes): the device allocator's count, on a CPU the resident memory."""
        if self.kind == "cuda":
            return int(torch.cuda.memory_allocated())
        if self.kind == "mps":
            return int(torch.mps.current_allocated_memory())
        return resident_bytes()

    def free_bytes(self) -> int:
        """Memory that can still be allocated (bytes)."""
        if self.kind == "cuda":
            return int(torch.cuda.mem_get_info()[0])
        if self.kind == "mps":
            used = torch.mps.driver_allocated_memory()
            return int(torch.mps.recommended_max_memory() - used)
        available = _field(_PROC / "meminfo", "MemAvailable")
        if available is not None:
            return int(available.split()[0]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def total_bytes(self) -> int:
        """Memory of the device (bytes)."""
        if self.kind == "cuda":
            return int(torch.cuda.mem_get_info()[1])
        if self.kind == "mps":
            return int(torch.mps.recommended_max_memory())
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def name(self) -> str:
        """What the device calls itself; never the name of the machine."""
        if self.kind == "cuda":
            return str(torch.cuda.get_device_name())
        model = _field(_PROC / "cpuinfo", "model name") or platform.processor()
        return model or platform.machine()

    def driver(self) -> str:
        """Version of what drives the device."""
        if self.kind == "cuda":
            return f"driver {_nvidia('driver_version') or 'unknown'}, CUDA {torch.version.cuda}"
        return f"{platform.system()} {platform.machine()}"

    def condition(self) -> dict[str, float | None]:
        """Clock (MHz), temperature (°C), load and priority now; None where nobody tells."""
        clock = temperature = None
        if self.kind == "cuda":
            answer = _nvidia("clocks.sm,temperature.gpu")
            if answer is not None:
                clock, temperature = (float(part) for part in answer.split(","))
        elif (found := _field(_PROC / "cpuinfo", "cpu MHz")) is not None:
            clock = float(found)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        priority = os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else None
        return {
            "clock_mhz": clock,
            "temperature_c": temperature,
            "load_1min": load,
            "niceness": priority,
        }


def find_hardware(kind: str | None = None) -> Hardware:
    """Device by name, or the fastest kind there is.

    Parameters
    ----------
    kind : {"cuda", "mps", "cpu"}, optional
        Found by itself if not given, in this order.

    Raises
    ------
    InputError
        If PyTorch cannot compute on the named device here.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    usable = [name for name in DEVICES if present[name]]
    if kind is None:
        return Hardware(usable[0])
    if kind not in usable:
        raise InputError("--device", "name", kind, ", ".join(usable) + " on this machine")
    return Hardware(kind)
