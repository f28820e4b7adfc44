"""The command line: one subcommand per stage, the same that the workflow's rules call.

A subcommand is a module with ``add_command(subparsers)``, which sets ``run`` to a function of the
parsed arguments that returns the exit status. Whatever an imported library raises leaves through
`main` as one line. Modules are imported within functions, so that Ctrl-C during an import is no
traceback either.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # that of typing takes time to import
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]

COMMANDS = {
    "a swarm of your own": (
        "plan",
        "calibrate",
        "replan",
        "simulate",
        "solve",
        "capacity",
        "explain",
        "model",
        "policies",
    ),
    "the paper and its claims": (
        "sweep",
        "merge",
        "bounds",
        "offline",
        "theory",
        "time",
        "wan",
        "scorecard",
        "by_service",
    ),
    "figures and report": ("plot", "plot_offline", "report", "readme"),
    "measurements": ("measure", "measure_network", "fit", "testbed"),
    "what is here, and is it sound": (
        "check",
        "status",
        "provenance",
        "manifest",
        "verify",
        "doctor",
    ),
    "the shell": ("completion",),
}

# Exit statuses beside the subcommands' own; 70 as in sysexits.h, the others as shells have them.
BAD_INPUT, MACHINE, UNEXPECTED, INTERRUPTED, NO_READER = 2, 1, 70, 130, 141


def parser() -> argparse.ArgumentParser:
    """Parser of all subcommands."""
    import argparse
    import importlib

    import bprr
    from bprr.commands.suggesting import SuggestingParser

    top = SuggestingParser(
        prog="bprr",
        usage="bprr [--debug] COMMAND ...",
        description="Which blocks each server holds, and through which chain each request goes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"bprr {bprr.__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    # Listed below by what they are for, with an example each.
    subparsers = top.add_subparsers(
        prog="bprr", dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS
    )
    lines = []
    for purpose, modules in COMMANDS.items():
        lines.append(f"\n{purpose}:")
        for module in modules:
            importlib.import_module(f"bprr.commands.{module}").add_command(subparsers)
            name = module.replace("_", "-")
            about, command = subparsers._choices_actions[-1].help, subparsers.choices[name]
            lines += [f"  {name:<16} {about}", f"  {'':<16}   bprr {command.example}"]
    top.epilog = "\n".join([*lines, "", "bprr COMMAND --help says more."])
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Returns
    -------
    int
        Exit status: the subcommand's; 2 for bad input or an infeasible plan, 1 where the machine
        failed (disk, memory), 70 for what should not happen, 130 and 141 if interrupted or if
        nobody reads the output.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        try:
            return _run(words)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where its failure is caught
    except SystemExit:  # --help, --version, and a line of argparse about an argument
        raise
    except BaseException as error:
        status, line = _explained(error)
        _settle_output()
        if words[:1] == ["--debug"]:
            import traceback

            traceback.print_exc()
        if line:
            command = next((word for word in words if not word.startswith("-")), "")
            print(f"{' '.join(['bprr', command]).strip()}: {line}", file=sys.stderr)
        return status


def _run(words: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without Greek letters is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    arguments = parser().parse_args(words)
    status: int = arguments.run(arguments)
    return status


def _explained(error: BaseException) -> tuple[int, str]:
    """Exit status and line for an error; no line where nobody can read it."""
    from bprr.ground.errors import BprrError, one_line

    match error:
        case BprrError():
            return BAD_INPUT, str(error)
        case KeyboardInterrupt():
            return INTERRUPTED, "interrupted; nothing half-written is left"
        case MemoryError():
            return MACHINE, one_line(f"not enough memory {error}").strip()
        case BrokenPipeError() if _reader_gone():
            return NO_READER, ""
        case OSError():
            name = "" if error.filename is None else f"{error.filename}: "
            return MACHINE, one_line(f"{name}{error.strerror or error}")
    what = one_line(f"unexpected {type(error).__name__}: {error}", 500)
    return UNEXPECTED, f"{what}; bprr --debug shows where"


def _reader_gone() -> bool:
    """Whether it is standard output that is broken."""
    import select

    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # errors are reported anyway
        return bool(poll.poll(0))
    except (AttributeError, OSError):  # closed, or none of the system's
        return False


def _settle_output() -> None:
    """Write what standard output still holds, or drop it: Python tries again when it leaves."""
    import os

    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (AttributeError, ValueError):  # closed
        pass
