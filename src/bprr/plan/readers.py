"""The description of machines in a file or folder, its kind known by what it is."""

from __future__ import annotations

from pathlib import Path

from bprr.ground.files import read_text
from bprr.plan.health_monitor import read_health_monitor
from bprr.plan.machines import Inventory
from bprr.plan.nvidia_smi import read_folder
from bprr.plan.servers_csv import read_servers

__all__ = ["read_inventory"]


def read_inventory(path: Path, served: str | None = None, keep_names: bool = False) -> Inventory:
    """Machines of a CSV, of PETALS' health monitor, or of a folder of ``nvidia-smi`` outputs.

    Parameters
    ----------
    served : str, optional
        Which of the models of a health monitor's report.
    keep_names : bool
        Keep the public names of such a report's servers.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if path.is_dir():
        return read_folder(path)
    if read_text(path, "description of servers").lstrip().startswith(("{", "[")):
        return read_health_monitor(path, served, keep_names)
    return read_servers(path)
