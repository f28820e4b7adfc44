"""Descriptions of machines, damaged: a plan or one clear refusal, and nothing half-written."""

import random
import re

import pytest

from bprr.commands.main import main

MUTANTS = 30  # of each kind
JUNK = (
    "", "-1", "0", "nan", "inf", "1e400", "9" * 20, '"', ",", "\n", "é", "\x00", "true", "null",
    "[]", "{}", "a" * 300, "0:0", "5:2", "0:99", "-", "1e-9", "..", "../x", "A100", "\t", ";",
    "Paris",
)  # fmt: skip
FAST = ("--quant", "nf4", "--prove", "0", "--sessions", "5")
LLAMA = ("--model", "meta-llama/Llama-2-70b", *FAST)
MISTRAL = ("--model", "mistralai/Mistral-7B-v0.1", *FAST)


def mutated(text, rng):
    """The text with some of it lost, doubled, moved or replaced."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((1, 2, 5, 20)))
        words = list(re.finditer(r"[\w.\-]+", text))
        lines = text.split("\n")
        match rng.randrange(5):
            case 0:
                text = text[:start] + rng.choice(JUNK) + text[start:]
            case 1:
                text = text[:start] + text[end:]
            case 2 if words:
                word = rng.choice(words)
                text = text[: word.start()] + rng.choice(JUNK) + text[word.end() :]
            case 3:
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
                text = "\n".join(lines)
            case _:
                text = text[:start] if rng.random() < 0.2 else text
    return text


def cases(root, tmp_path):
    """Arguments by kind, with the file that is damaged and what it holds."""
    examples = root / "examples"
    plan = examples / "four-cities/plan"
    servers = examples / "four-cities/servers.csv"
    cities = ("Paris", "Frankfurt", "London", "New York")
    rtt = "from,to,rtt_ms\n" + "".join(
        f"{here},{there},{7 * len(here + there)}\n" for here in cities for there in cities
    )
    calibration = "hop_overhead_ms: [8.1, 12.5, 17.0]\ndevices:\n  NVIDIA L4: [1.1, 1.4, 1.7]\n"
    host = (examples / "university/hosts/bio-01.csv").read_text(encoding="utf-8")
    (tmp_path / "hosts").mkdir()
    return {
        "servers": ("s.csv", servers.read_text(encoding="utf-8"),
                    ["plan", "{}", *LLAMA, "-o", str(tmp_path / "out")]),
        "report": ("s.json", (examples / "health-monitor/state.json").read_text(encoding="utf-8"),
                   ["plan", "{}", *LLAMA]),
        "explain": ("e.json", (examples / "health-monitor/state.json").read_text(encoding="utf-8"),
                    ["plan", "explain", "{}", *LLAMA]),
        "nvidia-smi": ("hosts/Zurich.csv", host,
                       ["plan", str(tmp_path / "hosts"), *MISTRAL]),
        "rtt": ("r.csv", rtt, ["plan", str(servers), *LLAMA, "--rtt", "{}"]),
        "calibration": ("c.yaml", calibration,
                        ["plan", str(servers), *LLAMA, "--calibration", "{}"]),
        "plan": ("plan.json", (plan / "plan.json").read_text(encoding="utf-8"),
                 ["replan", "{}", "--swarm", str(servers)]),
    }  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["servers", "report", "explain", "nvidia-smi", "rtt", "calibration", "plan"]
)
def test_damaged_inputs_are_planned_or_refused(root, tmp_path, capsys, kind):
    name, text, words = cases(root, tmp_path)[kind]
    path = tmp_path / name
    rng = random.Random(kind)
    seen = {0: 0, 2: 0}
    for _ in range(MUTANTS // 3 if kind == "plan" else MUTANTS):
        path.write_bytes(mutated(text, rng).encode("utf-8", "surrogateescape"))
        status = main([word.replace("{}", str(path)) for word in words])
        err = capsys.readouterr().err
        assert status in seen, err
        assert status == 0 or err.startswith(f"bprr {words[0]}: "), err
        seen[status] += 1
        left = {each.name for each in tmp_path.iterdir()} - {path.name, "hosts", "out"}
        assert not left
    assert seen[2] > 0
