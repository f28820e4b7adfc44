"""Plans, windows and rivals on genuine PETALS: shipped runs, and parts that need no root."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bprr.commands.main import main
from bprr.ground.errors import BprrError
from bprr.plan.calibrate import calibrated, errors, read_plan
from bprr.settings.configuration import load_settings
from bprr.settings.messages import validated
from bprr.settings.yaml_file import read_yaml
from bprr.study.points import catalogue
from bprr.testbed import frame_probe
from bprr.testbed.frames import FramesSettings, load_frames, read_frames
from bprr.testbed.frames_report import (
    draw_windows,
    predicted,
    round_trips,
    summary_of_windows,
    windows_table,
)
from bprr.testbed.petals_coordinator import Coordinator
from bprr.testbed.planned_records import MACHINES, PLANS, asked_for, now_rows, read_planned
from bprr.testbed.planned_report import compared, observed, planned_table, summary_of_plans
from bprr.testbed.planned_settings import PlannedSettings, load_planned
from bprr.testbed.rivals_records import read_rivals
from bprr.testbed.rivals_report import rivals_compared, rivals_table, summary_of_rivals
from bprr.testbed.rivals_settings import RivalsSettings, load_rivals

PLANNED = Path("data/traces/testbed_planned")
FRAMES = Path("data/traces/testbed_frames")
RIVALS = Path("data/traces/testbed_rivals")
GROWING = Path("data/traces/testbed_growing")
READERS = {
    "planned": (PlannedSettings, load_planned, read_planned, PLANNED),
    "frames": (FramesSettings, load_frames, read_frames, FRAMES),
    "rivals": (RivalsSettings, load_rivals, read_rivals, RIVALS),
    "rivals_growing": (RivalsSettings, load_rivals, read_rivals, GROWING),
}


@pytest.mark.parametrize("name", READERS)
def test_the_shipped_run_is_of_the_shipped_settings(at_root: Path, name: str):
    _, load, read, folder = READERS[name]
    settings = load(Path(f"config/testbed/{name}.yaml"))
    assert read(folder).manifest.settings.model_dump() == settings.model_dump()


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("planned", "servers.0.gpu", "none"),
        ("planned", "rtt_ms", {}),
        ("planned", "model.n_layer", "many"),
        ("frames", "petals.controls", ["vegas"]),
        ("frames", "pauses_s", [-1]),
        ("rivals", "fleets.two_fast.0.device", "none"),
        ("rivals", "arms.pipe.routing", "pipes"),
        ("rivals", "loads", []),
    ],
)
def test_unusable_settings_are_refused(at_root: Path, name: str, key: str, value: object):
    path = Path(f"config/testbed/{name}.yaml")
    content = json.loads(json.dumps(read_yaml(path)))
    place = content
    *way, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    for part in way:
        place = place[part]
    place[last] = value
    with pytest.raises(BprrError, match=last if isinstance(last, str) else key):
        validated(READERS[name][0], content, path)


@pytest.fixture(scope="module")
def planned(root: Path):
    run = read_planned(root / PLANNED)
    return run, compared(run, root / PLANNED, load_settings())


@pytest.fixture(scope="module")
def table(root: Path) -> pd.DataFrame:
    return round_trips(read_frames(root / FRAMES))


@pytest.fixture(scope="module")
def rivals(root: Path):
    run = read_rivals(root / RIVALS)
    return run, rivals_compared(run, catalogue(load_settings()))


class TestPlanned:
    def test_every_session_is_served_with_the_tokens_of_local_transformers(self, planned):
        run, _ = planned
        assert len(run.sessions) >= 4 * 50
        assert (run.sessions["status"] == "ok").all()
        assert run.sessions["tokens_equal"].all()

    def test_times_are_as_planned_and_closer_once_calibrated(self, planned, root: Path):
        run, table = planned
        own = table[table["arm"] == "planned"]
        for name, rows in own.groupby("plan"):
            assert (rows["planned_ms"] / rows["token_ms"] - 1).abs().median() <= 0.15
            assert (rows["elsewhere_ms"] / rows["token_ms"] - 1).abs().median() <= 0.15
            plan = read_plan(root / PLANNED / PLANS / str(name))
            fit = calibrated(plan, observed(run, plan, str(name), "planned"), "testbed")
            assert errors(fit.after)["median"] <= 0.10

    def test_the_explained_route_is_that_of_genuine_petals(self, planned):
        _, table = planned
        routed = table[table["arm"] == "shipped"]
        assert routed["explained"].mean() >= 0.9
        assert routed["by_pings"].mean() >= 0.9

    def test_the_table_and_the_sentences_are_of_these_numbers(self, planned, root: Path):
        run, table = planned
        text = planned_table(run, table, root / PLANNED).markdown()
        page = (root / "docs/testbed.md").read_text(encoding="utf-8")
        assert all(line in page for line in text.splitlines() if line.startswith("|"))
        assert text.count("PETALS' own") == len(run.manifest.settings.plans)
        said = summary_of_plans(run, table, root / PLANNED)
        assert f"{len(run.sessions)} sessions on" in said

    def test_the_machines_are_planned_as_they_were(
        self, planned, root: Path, tmp_path, monkeypatch
    ):
        """`bprr plan` writes the very files that PETALS' servers were started from."""
        run, _ = planned
        settings = run.manifest.settings
        name = list(settings.plans)[-1]
        monkeypatch.chdir(tmp_path)
        Path(MACHINES).symlink_to(root / PLANNED / MACHINES)
        assert main(["plan", *asked_for(settings, name)]) == 0
        for path in sorted((root / PLANNED / PLANS / name / "servers").glob("*/config.yml")):
            again = tmp_path / path.relative_to(root / PLANNED)
            assert again.read_text(encoding="utf-8") == path.read_text(encoding="utf-8")

    def test_calibrate_reads_the_log_of_the_run(self, planned, root: Path, tmp_path, capsys):
        run, _ = planned
        name = next(iter(run.manifest.settings.plans))
        arguments = ["--plan", str(root / PLANNED / PLANS / name), "-o", str(tmp_path / "c.yaml")]
        assert main(["calibrate", str(root / PLANNED / f"log_{name}.csv"), *arguments]) == 0
        assert "held out" in capsys.readouterr().out

    def test_explain_reads_the_machines_as_they_serve(self, planned, root: Path):
        run, _ = planned
        for name in run.manifest.settings.plans:
            text = now_rows(run.manifest.settings, read_plan(root / PLANNED / PLANS / name))
            assert text == (root / PLANNED / MACHINES / f"{name}.csv").read_text(encoding="utf-8")


class TestWindows:
    def at(self, table: pd.DataFrame, kind: str, controls: str, pause_s: float, **where: float):
        rows = table[(table["kind"] == kind) & (table["controls"] == controls)]
        rows = rows[rows["pause_s"] == pause_s]
        for key, value in where.items():
            rows = rows[rows[key] == value]
        return rows["round_trips"].to_numpy()

    def test_a_pause_costs_an_activation_of_bloom_two_round_trips(self, table: pd.DataFrame):
        for kind, where in (("tcp", {"frame_bytes": 30_000}), ("petals", {"width": 14_336})):
            warm = self.at(table, kind, "cubic", 0.0, **where)
            idle = self.at(table, kind, "cubic", 2.0, **where)
            kept = self.at(table, kind, "cubic_kept", 2.0, **where)
            assert warm == pytest.approx(1.0, abs=0.45)
            assert idle == pytest.approx(3.0, abs=0.45)
            assert kept == pytest.approx(1.0, abs=0.45)

    def test_a_frame_within_the_first_window_never_waits(self, table: pd.DataFrame):
        small = table[(table["frame_bytes"] == 3_000) & table["controls"].str.startswith("cubic")]
        assert small["round_trips"].to_numpy() == pytest.approx(1.0, abs=0.3)

    def test_the_page_has_the_table(self, table: pd.DataFrame, root: Path):
        assert windows_table(table, 100.0) in (root / "docs/testbed.md").read_text(encoding="utf-8")

    def test_the_report_counts_the_cells(self, table: pd.DataFrame, root: Path):
        said = summary_of_windows(read_frames(root / FRAMES), table)
        assert "round trips" in said
        assert len(draw_windows(table, 100).axes) == 4

    @pytest.mark.parametrize(
        ("controls", "pause_s", "trips"),
        [("cubic", 0.0, 1), ("cubic", 2.0, 3), ("cubic", np.nan, 3), ("cubic_kept", 2.0, 1),
         ("bbr", 2.0, 2)],
    )  # fmt: skip
    def test_the_formula_there_and_back(self, controls: str, pause_s: float, trips: float):
        assert predicted(controls, 100.0, 28_700.0, pause_s, 0.0) == trips
        assert predicted(controls, 100.0, 28_700.0, pause_s, 0.0, 0.0) == trips

    def test_the_probe_measures_frames_on_the_loopback(self, monkeypatch: pytest.MonkeyPatch):
        listener = socket.create_server(("127.0.0.1", 0))
        monkeypatch.setattr(frame_probe, "PORT", listener.getsockname()[1])
        threading.Thread(target=frame_probe.answer, args=(listener,), daemon=True).start()
        job = {"frame_bytes": [3000, 30_000], "pauses_s": [0.0], "repeats": 2}
        rows = list(frame_probe.rows("127.0.0.1", job))
        assert [(row["frame_bytes"], row["pause_s"]) for row in rows] == [
            (3000, None), (3000, None), (3000, 0.0), (3000, 0.0),
            (30_000, None), (30_000, None), (30_000, 0.0), (30_000, 0.0),
        ]  # fmt: skip
        assert all(row["took_ms"] > 0 and row["rto_ms"] >= 200 for row in rows)


class TestCoordinator:
    RULE = {"places": [2.0, 1.0], "time_ms": [100.0, 300.0]}
    PIPE = {"routing": "pipe", "most_full": 1.15, "weight": 0.1}

    def joined(self, rule: dict, count: int) -> list[int | None]:
        coordinator, found = Coordinator({**self.RULE, **rule}), []
        for _ in range(count):
            chain = coordinator._open()
            found.append(chain)
            if chain is not None:
                coordinator._present[chain] += 1
        return found

    def test_jffc_takes_the_fastest_free_place_and_then_waits(self):
        assert self.joined({"routing": "jffc"}, 4) == [0, 0, 1, None]

    def test_pipe_never_waits_and_pipe_f_does(self):
        assert self.joined({**self.PIPE, "hold_back": False}, 5) == [0, 0, 1, 0, 0]
        assert self.joined({**self.PIPE, "hold_back": True}, 4) == [0, 0, 1, None]

    def test_the_queue_is_served_in_order(self):
        coordinator = Coordinator({"places": [1.0], "time_ms": [1.0], "routing": "jffc"})
        order: list[int] = []

        def session(number: int) -> None:
            with coordinator.joined():
                order.append(number)

        with coordinator.joined():
            threads = []
            for number in range(4):
                threads.append(threading.Thread(target=session, args=(number,)))
                threads[-1].start()
                while coordinator._next < number + 2:
                    pass
            assert order == []
        for thread in threads:
            thread.join(5)
        assert order == [0, 1, 2, 3]


class TestRivals:
    def test_every_session_is_served_and_nothing_is_left_held(self, rivals):
        run, table = rivals
        assert len(table) >= 6 * len(run.manifest.settings.arms)
        assert (table["requests"] >= 50).all()
        assert (table["tokens_equal"] == table["served"]).all()
        # PETALS' own back-off leaves some waiting when a case is given up.
        own = table[table["arm"] != "petals"]
        assert (own["served"] == own["requests"]).all()
        assert (own["held_at_end"] == 0).all()

    def test_predictions_are_close(self, rivals):
        _, table = rivals
        errors = (table["predicted_per_token_ms"] / table["per_token_ms"] - 1).abs()
        assert errors.median() <= 0.10

    def test_what_petals_knows_is_drawn_and_the_measured_means_are_among_the_draws(self, rivals):
        _, table = rivals
        drawn = table["predicted_low_ms"] < table["predicted_high_ms"]
        assert (drawn == (table["arm"] == "petals")).all()
        own = table[drawn]
        assert own["per_token_ms"].between(own["predicted_low_ms"], own["predicted_high_ms"]).all()
        assert own["predicted_per_token_ms"].to_numpy() == pytest.approx(
            own["per_token_ms"].to_numpy(), rel=0.15
        )

    def test_coordinated_servers_hosted_their_chains(self, rivals):
        """Whole chains of servers that host what they give to them."""
        run, _ = rivals
        settings = run.manifest.settings
        for key, placed in run.manifest.placed.items():
            if settings.arms[key.split("/")[1]].routing.name == "petals_shipped":
                assert placed.chains is None
                continue
            assert len(placed.chains) == len(placed.places) > 0
            for chain in placed.chains:
                done = 0
                for server, blocks in chain:
                    first = placed.first_block[server] - 1
                    assert first <= done and done + blocks <= first + placed.blocks[server]
                    done += blocks
                assert done == settings.blocks

    def test_the_table_and_the_sentences_are_of_these_numbers(self, rivals):
        run, table = rivals
        text = rivals_table(run, table).markdown()
        assert text.count("PETALS as shipped") == table["case"].nunique()
        assert "left held" in summary_of_rivals(run, table)

    def test_the_page_has_the_table(self, rivals, root: Path):
        text = rivals_table(*rivals).markdown()
        page = (root / "docs/testbed.md").read_text(encoding="utf-8")
        assert all(line in page for line in text.splitlines() if line.startswith("|"))

    def test_caches_by_pages_restart_sessions_and_leave_nothing_held(self, root: Path):
        table = rivals_compared(read_rivals(root / GROWING), catalogue(load_settings()))
        whole, pages = (table[table["arm"] == arm].iloc[0] for arm in ("whole", "pages"))
        assert pages["tokens_equal"] == pages["served"] == pages["requests"] >= 50
        assert pages["retries"] > whole["retries"] == 0
        assert pages["held_at_end"] == whole["held_at_end"] == 0
        assert pages["per_token_ms"] < whole["per_token_ms"]
        assert np.isnan(pages["predicted_per_token_ms"])
