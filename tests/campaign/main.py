"""Runs the parts, prints every fault, and writes what was tried and what was found."""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.campaign.finding import Finding, Skipped

__all__ = ["PARTS", "main", "tried"]

PARTS = ("inputs", "kills", "places")
FIGURES = Path(__file__).with_name("figures.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named parts (all without names); exit status 1 if there is any fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (default 1)")
    parser.add_argument(
        "--tries", type=int, default=0, help="of each part; its own number otherwise"
    )
    parser.add_argument("--out", type=Path, default=FIGURES, help="file of the figures")
    options = parser.parse_args(arguments)
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    faults = 0
    for part in options.parts or PARTS:
        findings, figures = tried(part, options.seed, options.tries)
        faults += len(findings)
        known[part] = figures
        print(f"{part}: {json.dumps(figures)}")
    text = json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False)
    options.out.write_text(text + "\n", encoding="utf-8")
    return 1 if faults else 0


def tried(part: str, seed: int, tries: int) -> tuple[list[Finding], dict[str, Any]]:
    """Findings of a part that are faults, and its figures."""
    module = importlib.import_module(f"tests.campaign.{part}")
    found, skipped = list[Finding](), ""
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        try:
            for finding in module.run(tries or module.TRIES, random.Random(seed), Path(folder)):
                found.append(finding)
                if finding.fault or sys.stderr.isatty():
                    print(f"  {finding.what}: {finding.fault or 'well'}", file=sys.stderr)
        except Skipped as reason:
            skipped = str(reason)
            print(f"  {part}: skipped: {skipped}", file=sys.stderr)
    faults = [finding for finding in found if finding.fault]
    figures = {
        "tries": sum(finding.counts for finding in found),
        "faults": len(faults),
        "longest_s": round(max((finding.seconds for finding in found), default=0.0), 1),
        "most_gb": round(max((finding.gb for finding in found), default=0.0), 2),
        **({"skipped": skipped} if skipped else {}),
    }
    return faults, figures
