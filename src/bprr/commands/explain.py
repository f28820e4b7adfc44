"""``bprr explain SWARM``: where the time of a swarm goes, and what would help."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bprr.commands.arguments import add_json, print_json, whole_number

if TYPE_CHECKING:
    from bprr.wan.swarm import WanSwarm

__all__ = ["add_command"]

MOST_FRAMES = 64


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "explain",
        help="why a swarm is slow, and what would help",
        example="explain config/swarms/ring.yaml",
    )
    command.add_argument("swarm", type=Path, help="its description, e.g. config/swarms/ring.yaml")
    command.add_argument(
        "--frames",
        type=whole_number,
        metavar="N",
        help="up to so many frames of a stream under way, each simulated frame by frame",
    )
    add_json(command)
    command.set_defaults(run=_explain)


def _explain(arguments: argparse.Namespace) -> int:
    from bprr.wan.swarm import pace, prefill_ms, read_swarm
    from bprr.wan.what_ifs import what_ifs

    swarm = read_swarm(arguments.swarm)
    slow, fast = pace(swarm), pace(swarm, from_above=False)
    depths = _depths(swarm, arguments.frames, arguments.swarm)
    if arguments.json:
        changes = [
            {
                "change": each.change,
                "tokens_per_s": each.pace.tokens_per_s,
                "tokens_per_s_fast": pace(each.swarm, from_above=False).tokens_per_s,
                "changes_most": each.term,
            }
            for each in what_ifs(swarm)
        ]
        told = {
            "tokens_per_s": slow.tokens_per_s,
            "tokens_per_s_fast": fast.tokens_per_s,
            "round_ms": slow.round_ms,
            "terms_ms": slow.terms(),
            "first_token_ms": None if swarm.prompt is None else prefill_ms(swarm.prompt),
            "changes": changes,
            "frames_under_way": depths,
        }
        print_json(told)
        return 0
    print(
        f"{arguments.swarm}: {slow.tokens_per_s:.2f} tokens/s; a round of {slow.round_ms:.0f} ms:"
    )
    for term, part_ms in slow.terms().items():
        if part_ms:
            print(f"  {term:22} {part_ms:6.0f} ms {100 * part_ms / slow.round_ms:4.0f} %")
    if fast.tokens_per_s > slow.tokens_per_s:
        print(f"  or {fast.tokens_per_s:.2f} tokens/s while rounds take {fast.round_ms:.0f} ms")
    if swarm.prompt is not None:
        print(f"  first token after {prefill_ms(swarm.prompt) / 1000:.1f} s")
    print(f"{'change':40} {'before':>7} {'after':>7}  times  what changes most")
    for each in what_ifs(swarm):
        gain = each.pace.tokens_per_s / slow.tokens_per_s
        rates = f"{slow.tokens_per_s:7.2f} {each.pace.tokens_per_s:7.2f} {gain:6.2f}"
        best = pace(each.swarm, from_above=False).tokens_per_s
        state = f"; {best:.2f} in its fast state" if best > 1.01 * each.pace.tokens_per_s else ""
        print(f"{each.change:40} {rates}  {each.term}{state}")
    print("* with legs that were not measured, as long as the median of the others")
    if depths:
        print(
            f"\n{'frames':>6} {'formula':>8} {'by frame':>9} tokens/s {'dropped':>9} {'queues':>9}"
        )
    for depth in depths:
        rates = f"{depth['frames']:6} {depth['tokens_per_s']:8.2f} {depth['by_frame_per_s']:9.2f}"
        print(f"{rates} {'':8} {depth['dropped']:9.0%} {depth['queued_ms']:6.0f} ms")
    return 0


def _depths(swarm: WanSwarm, most: int | None, where: Path) -> list[dict[str, Any]]:
    """Paces with 1, 2, … frames under way, by formula and frame by frame."""
    from bprr.ground.errors import InputError
    from bprr.wan.by_frame import by_frame, in_flight
    from bprr.wan.swarm import pace

    if most is None:
        return []
    if most > MOST_FRAMES:
        raise InputError("command line", "--frames", most, f"at most {MOST_FRAMES}")
    if swarm.streams > 1 and swarm.batch == "lockstep":
        raise InputError(where, "batch", "lockstep", "own_frames, several under way")
    told = []
    for frames, changed in enumerate(in_flight(swarm, range(1, most + 1), where), start=1):
        passed = by_frame(changed)
        assert passed is not None
        told.append(
            {
                "frames": frames,
                "tokens_per_s": pace(changed).tokens_per_s,
                "by_frame_per_s": passed.tokens_per_s,
                "mean_frames": passed.mean_frames,
                "dropped": passed.dropped,
                "queued_ms": max(passed.queued_ms, 0.0),
            }
        )
    return told
