"""``bprr completion SHELL``: what a shell needs to complete commands and options."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

__all__ = ["add_command", "words_by_place"]

# Options and subcommands where they are known, files everywhere else.
SCRIPT = """\
_bprr() {{
    local place="" next word known
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        next="${{place:+$place/}}$word"
        case " {places} " in *" $next "*) place="$next" ;; esac
    done
    case "$place" in
{cases}
    esac
    COMPREPLY=($(compgen -W "$known" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _bprr bprr
"""
ZSH = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n"


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "completion", help="completion for your shell", example="completion bash"
    )
    command.add_argument("shell", choices=("bash", "zsh"), help='eval "$(bprr completion bash)"')
    command.set_defaults(run=_completion)


def words_by_place(parser: argparse.ArgumentParser, place: str = "") -> Iterator[tuple[str, str]]:
    """Subcommands, options and choices after each chain of subcommands (``plot/sweep``)."""
    words: list[str] = []
    for action in parser._actions:
        words += action.option_strings
        if not action.option_strings:
            words += map(str, action.choices or ())
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from words_by_place(below, f"{place}/{name}".lstrip("/"))
    yield place, " ".join(words)


def _completion(arguments: argparse.Namespace) -> int:
    from bprr.commands.main import parser

    known = dict(words_by_place(parser()))
    cases = "\n".join(f'    "{place}") known="{words}" ;;' for place, words in known.items())
    script = SCRIPT.format(places=" ".join(filter(None, known)), cases=cases)
    print((ZSH if arguments.shell == "zsh" else "") + script, end="")
    return 0
