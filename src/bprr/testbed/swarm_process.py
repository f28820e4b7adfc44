"""The driver's hold on a swarm: starts it, talks to it, and leaves nothing behind."""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bprr
from bprr.ground.errors import BprrError

__all__ = ["ENVIRONMENT", "SwarmError", "SwarmProcess", "machine_lacks", "what_is_missing"]

ENVIRONMENT = "BPRR_TESTBED_PYTHON"
DEFAULT_PYTHON = Path(".testbed-venv/bin/python")
PR_SET_PDEATHSIG = 1
LONGEST_LIFE_S = 7200
SLACK_S = 90.0  # of an answer, beyond the time that the swarm is given


class SwarmError(BprrError):
    """The swarm did not do what it was asked to."""


def testbed_python() -> Path:
    """Interpreter of the testbed's environment."""
    return Path(os.environ.get(ENVIRONMENT, DEFAULT_PYTHON))


def what_is_missing() -> list[str]:
    """What is missing to run a swarm here, the testbed's environment included."""
    lacks = machine_lacks()
    if not testbed_python().exists():
        lacks.append(f"{testbed_python()} (make testbed)")
    return lacks


def machine_lacks() -> list[str]:
    """What this machine lacks to run a swarm; empty if nothing."""
    lacks = []
    if not sys.platform.startswith("linux"):
        return [f"Linux (this is {sys.platform})"]
    if os.geteuid() != 0:
        lacks.append("root, to make network namespaces")
    if not Path("/dev/net/tun").exists():
        lacks.append("/dev/net/tun, to join them")
    lacks += [f"the command {name}" for name in ("ip", "unshare") if shutil.which(name) is None]
    if not lacks and not _may_make_hosts():
        lacks.append("the right to make network namespaces and TUN devices")
    return lacks


def _may_make_hosts() -> bool:
    trial = "from bprr.testbed.namespaces import new_host; new_host('10.98.0.1', 24)"
    command = ["unshare", "--net", "--pid", "--fork", sys.executable, "-c", trial]
    environment = {**os.environ, "PYTHONPATH": str(Path(bprr.__file__).parents[1])}
    trial_run = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    return trial_run.returncode == 0


def _die_with_parent() -> None:
    """The kernel kills this process when the driver ends, even if it is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class SwarmProcess:
    """A swarm in namespaces of its own, for the time of a ``with`` block.

    Its main process is the first of a PID namespace: when it ends, or this process does, the kernel
    ends every other one and removes their network namespaces and devices.

    Parameters
    ----------
    settings : mapping
        What `bprr.testbed.experiment.hosts_of` gives.
    log : Path, optional
        Folder that keeps the logs of all processes; they are dropped if not given.
    timeout_s : float
        For the hosts to be made and PETALS to be imported.

    """

    packages: Mapping[str, str]  # versions of what it runs, once it does

    def __init__(
        self, settings: Mapping[str, Any], log: Path | None = None, timeout_s: float = 180.0
    ) -> None:
        self._settings, self._log, self._timeout_s = settings, log, timeout_s

    def __enter__(self) -> SwarmProcess:
        self._folder = Path(tempfile.mkdtemp(prefix="bprr-testbed-"))
        command = [
            "unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
            str(testbed_python().absolute()), "-m", "bprr.testbed.petals_swarm",
            str(LONGEST_LIFE_S),
        ]  # fmt: skip
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
            "PYTHONPATH": str(Path(bprr.__file__).parents[1]),
            "HOME": str(self._folder),
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }
        with (self._folder / "main.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=_die_with_parent,
                start_new_session=True,  # an interrupt at the terminal is for the driver alone
            )
        try:
            settings = {**self._settings, "folder": str(self._folder)}
            self.packages = self.ask("hosts", self._timeout_s, settings=settings)["packages"]
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill everything that runs in the swarm and remove its folder."""
        self._process.kill()  # unshare; its child, the first of its PID namespace, goes with it
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        if self._log is not None:
            self._log.mkdir(parents=True, exist_ok=True)
            for path in self._folder.glob("*.log"):
                shutil.copy(path, self._log / path.name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(self, op: str, timeout_s: float, **arguments: Any) -> Any:
        """Send a command and wait for its answer.

        Raises
        ------
        SwarmError
            If it fails, or takes longer than ``timeout_s``.
        """
        assert self._process.stdin and self._process.stdout
        command = json.dumps({"op": op, "timeout_s": timeout_s, **arguments}) + "\n"
        try:
            self._process.stdin.write(command.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise SwarmError(f"testbed: {op}: the swarm has ended: {self._last_words()}") from None
        # One answer a command, and a line each: none is left in the buffer.
        readable, _, _ = select.select([self._process.stdout], [], [], timeout_s + SLACK_S)
        if not readable:
            raise SwarmError(f"testbed: {op}: no answer in time: {self._last_words()}")
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise SwarmError(f"testbed: {op}: the swarm has ended: {self._last_words()}")
        answer = json.loads(line)["answer"]
        if isinstance(answer, dict) and "error" in answer:
            raise SwarmError(f"testbed: {op}: {answer['error']} {self._last_words()}")
        return answer

    def _last_words(self) -> str:
        log = (self._folder / "main.log").read_text(encoding="utf-8", errors="replace")
        return " | ".join(log.splitlines()[-3:])
