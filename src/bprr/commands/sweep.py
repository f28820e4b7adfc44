"""``bprr sweep FIGURE TOPOLOGY``: run one sweep of the configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser("sweep", help="run one sweep of the configuration")
    command.add_argument("figure", help="name of the sweep, e.g. fig7")
    command.add_argument("topology", help="where, e.g. abovenet")
    command.add_argument("--config", type=Path, default=Path("config/default.yaml"))
    command.add_argument("-o", "--output", type=Path, help="Parquet file of the request records")
    command.set_defaults(run=_sweep)


def _sweep(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from bprr.ground.storage import write_table
    from bprr.settings.configuration import load_settings
    from bprr.study.sweep import run_sweep, sweep_provenance

    settings = load_settings(arguments.config)
    name, topology = arguments.figure, arguments.topology
    provenance = sweep_provenance(settings, name, topology)
    total = provenance["points"] * provenance["runs"]
    with tqdm(total=total, unit="run", desc=f"{name} on {topology}") as bar:
        table = run_sweep(settings, name, topology, bar.update)
    output = arguments.output or Path(settings.results_dir, "sweeps", f"{name}_{topology}.parquet")
    write_table(table, output, provenance)
    infeasible = table.loc[table["status"] != "ok", ["x", "method", "status"]].drop_duplicates()
    for row in infeasible.itertuples():
        print(f"x = {row.x:g}, {row.method}: {row.status}")
    print(f"{len(table):,} requests in {output}")
    return 0
