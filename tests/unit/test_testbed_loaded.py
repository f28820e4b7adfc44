"""The loaded testbed's parts that need neither PETALS nor root."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bprr.commands.main import main
from bprr.figures.from_settings import study_caption
from bprr.ground.errors import BprrError
from bprr.report.claims import load_claims
from bprr.report.measures import MEASURES
from bprr.report.results import Results
from bprr.scenario.draw import Catalogue
from bprr.settings.configuration import load_settings
from bprr.settings.messages import validated
from bprr.settings.overrides import with_overrides
from bprr.settings.yaml_file import read_yaml
from bprr.study.points import catalogue
from bprr.testbed.loaded import hop_rows, tasks_of
from bprr.testbed.loaded_prediction import (
    LoadProfile,
    case_errors,
    compared,
    fit_load,
    predict,
    service_of,
)
from bprr.testbed.loaded_records import (
    CALIBRATION,
    HOPS,
    SESSIONS,
    TASKS,
    Business,
    LoadedManifest,
    LoadedRun,
    read_loaded,
    write_loaded,
)
from bprr.testbed.loaded_report import (
    error_table,
    order_of_service,
    render_loaded,
    summary_of_load,
)
from bprr.testbed.loaded_settings import LoadedSettings, load_loaded
from bprr.testbed.records import Machine

SMOKE = Path("config/testbed/loaded_smoke.yaml")
LOADED = Path("config/testbed/loaded.yaml")
PROFILE = LoadProfile(
    rtt_ms=[[5.0, 20.0, 20.0]],
    tau_ms={"mig_clustered": 24.0, "a100_clustered": 3.0},
    prefill_ms={"mig_clustered": 77.0, "a100_clustered": 11.0},
    hop_ms=6.0,
    prompt_round_trips=1.5,
    prompt_hop_ms=9.0,
    start_ms=1.0,
    gap_ms=1.5,
)


@pytest.fixture
def known(at_root: Path) -> Catalogue:
    return catalogue(load_settings())


class TestSettings:
    @pytest.mark.parametrize("path", [SMOKE, LOADED])
    def test_busiest_server_is_asked_for_the_load_that_is_said(self, known: Catalogue, path: Path):
        settings = load_loaded(path)
        for case in settings.cases.values():
            swarm = settings.swarm(known, case.slowdown)
            long = case.model_copy(update={"requests": 20_000})
            workload, busy_ms = settings.workload(long, swarm), np.zeros(swarm.servers)
            for name in case.clients:
                mine = workload.client == list(settings.clients).index(name)
                later = workload.output_tokens[mine] - 1
                for server, first, end in settings.chain(name):
                    block_ms = swarm.prefill_ms[server] + later * swarm.tau_ms[server]
                    busy_ms[server] += ((end - first) * block_ms).sum()
            assert busy_ms.max() / workload.arrival_ms[-1] == pytest.approx(case.load, rel=0.03)

    def test_slower_times_are_all_as_much_slower(self, known: Catalogue):
        settings = load_loaded(LOADED)
        slow = settings.cases["chain_medium_slow"]
        swarms = [settings.swarm(known, slowdown) for slowdown in (1.0, slow.slowdown)]
        for name in ("tau_ms", "prefill_ms", "raw_rtt_ms"):
            fast, slower = (getattr(swarm, name) for swarm in swarms)
            assert slower == pytest.approx(2 * fast)
        fast, slower = (
            settings.workload(settings.cases[name], swarm).arrival_ms
            for name, swarm in zip(("chain_medium", "chain_medium_slow"), swarms, strict=True)
        )
        assert slower == pytest.approx(2 * fast)
        hosts = settings.rtt_between_hosts_ms(2.0)
        assert pytest.approx(swarms[1].raw_rtt_ms) == hosts[1:6, 6:].T

    def test_a_chain_enters_a_server_where_the_one_before_has_ended(self, at_root: Path):
        assert load_loaded(LOADED).chain("b") == [(3, 0, 2), (1, 2, 6), (4, 6, 8)]

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("clients.near", [0, 2, 1]),
            ("clients.near", [0, 1]),
            ("clients.near", [0, 1, 7]),
            ("servers", []),
            ("arms.shipped.prefetch", 1),
            ("arms.shipped.order", "lifo"),
            ("cases.overload.arms", ["nobody"]),
            ("cases.overload.clients", ["far"]),
            ("cases.overload.load", 0),
        ],
    )
    def test_unusable_settings_are_refused(self, at_root: Path, key: str, value: object):
        content = with_overrides(read_yaml(SMOKE), {key: value})
        with pytest.raises(BprrError, match=key.replace(".", "[.]")):
            validated(LoadedSettings, content, SMOKE)


LOGS = {
    "0": [
        "S 7 0", "S 8 1",
        "T 7 0 4 2 10.000 10.001 10.002 10.052",  # prompt of session 0
        "T 8 0 4 2 10.010 10.011 10.054 10.104",  # waits for it
        "T 7 4 1 2 10.060 10.061 10.105 10.125",
    ],
}  # fmt: skip


class TestRecords:
    def test_tasks_are_of_the_session_that_opened_their_cache(self):
        tasks = tasks_of(LOGS, 10.0)
        assert tasks["session"].tolist() == [0, 1, 0]
        assert tasks["ended_ms"].tolist() == pytest.approx([52.0, 104.0, 125.0])
        tasks["case"], tasks["arm"] = "one", "shipped"
        order = order_of_service(tasks).iloc[0]
        assert (order["tasks"], order["overlaps"], order["waited"]) == (3, 0, 2)
        assert order["passed_older"] == order["not_fifo"] == 0

    def test_a_younger_task_that_goes_first_is_seen(self):
        logs = {"0": [*LOGS["0"][:4], "T 7 4 1 2 10.053 10.200 10.201 10.221"]}
        tasks = tasks_of(logs, 10.0).assign(case="one", arm="oldest")
        order = order_of_service(tasks).iloc[0]
        assert order["passed_older"] == 0.5  # session 1 began while 0 waited
        assert order["not_fifo"] == 0

    def test_a_hop_has_what_its_passes_took(self):
        records = [
            {"tokens": 2, "steps": [[0, 9.9, 10.07], [0, 10.05, 10.15]]},
            {"tokens": 1, "steps": [[0, 9.9, 10.12]]},
        ]
        hops = hop_rows(records, [[(0, 0, 2)]] * 2, tasks_of(LOGS, 10.0), 0, 4)
        assert hops["passes"].tolist() == [2, 1]
        assert hops["prompt_round_ms"].tolist() == pytest.approx([170.0, 220.0])
        assert hops["prompt_queue_ms"].tolist() == pytest.approx([2.0, 44.0])
        assert hops["token_queue_ms"].tolist() == pytest.approx([45.0, 0.0])
        assert hops["token_computing_ms"].tolist() == pytest.approx([20.0, 0.0])


def synthetic_run(known: Catalogue) -> LoadedRun:
    """A run whose calibration has the times of `PROFILE`, and whose servers are serial."""
    settings = load_loaded(SMOKE)
    swarm = PROFILE.swarm(settings, 1.0)
    parts: list[list[tuple]] = [[], [], []]
    for number, chain in enumerate([[(0, 0, 6)], [(1, 0, 2), (2, 2, 6)], [(0, 0, 1), (1, 1, 6)]]):
        key, now_ms, first_ms = (CALIBRATION, "1", number), 0.0, 0.0
        for server, begin, end in chain:
            work = [(end - begin) * of[server] for of in (swarm.prefill_ms, swarm.tau_ms)]
            rtt_ms = PROFILE.rtt_ms[0][server]
            times = [1.5 * rtt_ms + 9.0 + work[0], rtt_ms + 6.0 + work[1]]
            first_ms, now_ms = first_ms + times[0], now_ms + times[1]
            row = (server, end - begin, 6, times[0], 1.0, work[0], 5 * times[1], 5.0, 5 * work[1])
            parts[1].append((*key, *row))
            for prefix, took_ms in ((0, work[0]), *((8 + i, work[1]) for i in range(5))):
                at_ms = 1e5 * number + 1e3 * prefix
                tokens = 1 if prefix else 8
                task = (server, prefix, tokens, end - begin, at_ms, at_ms, at_ms + 1.0)
                parts[2].append((*key, *task, at_ms + 1.0 + took_ms))
        total_ms = first_ms + 5 * now_ms
        parts[0].append((*key, "near", 0.0, 6, "ok", 0.0, 0.0, first_ms, total_ms, 0, True))
    pair = (CALIBRATION, "2")  # a task that came while another one ran starts 1.5 ms after it
    parts[2].append((*pair, 3, 0, 8, 1, 2, 0.0, 0.0, 1.0, 49.0))
    parts[2].append((*pair, 4, 0, 8, 1, 2, 20.0, 20.0, 50.5, 98.5))
    business = {}
    for name, case in settings.cases.items():
        for arm in case.arms:
            workload = settings.workload(case, settings.swarm(known))
            service = service_of("serial", settings.arms[arm], PROFILE)
            records = predict(settings, swarm, workload, service)
            business[f"{name}/{arm}"] = Business(
                busy=0.5, others=0.1, load_average=1.0, seconds=9.0
            )
            for index in range(len(records)):
                key = (name, arm, index)
                times = (records.ttft_ms[index], records.completion_ms[index])
                tokens = int(workload.output_tokens[index])
                row = ("near", workload.arrival_ms[index], tokens, "ok", 0.0, 0.0, *times, 0, True)
                parts[0].append((*key, *row))
                parts[1].append((*key, 0, 2, tokens, *[0.0] * 6))
                parts[2].append((*key, 0, 8, 1, 2, *[float(100 * index)] * 3, 100.0 * index + 50))
    tables = [
        pd.DataFrame(rows, columns=list(columns))
        for rows, columns in zip(parts, (SESSIONS, HOPS, TASKS), strict=True)
    ]
    machine = Machine(
        system="none", processor="none", cores=1, niceness=0, load_average_at_start=0.0,
        started="never", packages={"petals": "9.9"}, load_average_at_end=0.0, minutes=0.0,
    )  # fmt: skip
    manifest = LoadedManifest(
        settings=settings, rtt_ms=PROFILE.rtt_ms, machine=machine, business=business
    )
    return LoadedRun(*tables, manifest)


@pytest.fixture
def run(known: Catalogue) -> LoadedRun:
    return synthetic_run(known)


class TestPrediction:
    def test_a_profile_is_recovered_from_its_own_times(self, run: LoadedRun):
        fitted = fit_load(run)
        assert fitted.rtt_ms == PROFILE.rtt_ms
        for name, value in PROFILE.model_dump(exclude={"rtt_ms"}).items():
            assert getattr(fitted, name) == pytest.approx(value), name

    def test_serial_servers_are_known_by_their_times(self, run: LoadedRun):
        errors = case_errors(compared(run)).set_index(["model", "arm"])["per_token_ms_error"]
        assert errors["serial"].abs().max() < 1e-6
        assert errors["independent"].max() < -0.3
        assert errors["batched_0.1"].max() < -0.05
        assert errors["serial_fifo", "shipped"] == pytest.approx(0.0, abs=1e-6)
        assert abs(errors["serial_fifo", "oldest"]) > 0.03

    def test_a_run_survives_writing_and_reading(self, run: LoadedRun, tmp_path: Path):
        write_loaded(run, tmp_path)
        again = read_loaded(tmp_path)
        assert again.manifest.model_dump() == run.manifest.model_dump()
        comparison = compared(again)
        assert "24 sessions in 2 cases; 24 served" in summary_of_load(again, comparison)
        for path in render_loaded(again, comparison, tmp_path / "loaded"):
            assert path.stat().st_size > 0
        text = error_table(comparison).markdown()
        assert "| serial, in the order that was served | 0.0 % (0.0 %)" in text

    def test_a_strange_case_is_refused(self, run: LoadedRun, tmp_path: Path):
        sessions = run.sessions.assign(case="elsewhere")
        write_loaded(replace(run, sessions=sessions), tmp_path)
        with pytest.raises(BprrError, match="sessions: case: got 'elsewhere'"):
            read_loaded(tmp_path)


SHIPPED = Path("data/traces/testbed_loaded")


@pytest.fixture(scope="module")
def shipped(root: Path) -> LoadedRun:
    return read_loaded(root / SHIPPED)


class TestShippedRun:
    def test_it_is_of_the_shipped_settings(self, at_root: Path, shipped: LoadedRun):
        assert shipped.manifest.settings.model_dump() == load_loaded(LOADED).model_dump()
        assert shipped.manifest.not_measured == {}

    def test_all_sessions_were_served_with_the_tokens_of_transformers(self, shipped: LoadedRun):
        """But one, where caches run out, which had waited for its turn until the case ended."""
        served = shipped.sessions["status"] == "ok"
        assert shipped.sessions.loc[served, "tokens_equal"].all()
        (left,) = shipped.sessions[~served].itertuples()
        assert (left.case, left.status) == ("chain_pool", "timeout")

    def test_servers_ran_one_task_at_a_time(self, shipped: LoadedRun):
        order = order_of_service(shipped.tasks)
        assert order["tasks"].sum() == len(shipped.tasks) > 30_000
        assert (order["overlaps"] == 0).all()
        fifo = order[order["arm"].isin(["shipped", "tokens"])]
        assert fifo["not_fifo"].max() < 0.02

    def test_every_pass_of_a_session_is_a_task_of_its_servers(self, shipped: LoadedRun):
        key = ["case", "arm", "session", "server"]
        decoded = shipped.tasks[shipped.tasks["prefix"] >= 8].groupby(key).size()
        tokens = shipped.sessions.set_index(key[:3])["output_tokens"]
        assert (decoded == tokens.loc[decoded.index.droplevel("server")].to_numpy() - 1).all()

    def test_the_machine_kept_up(self, shipped: LoadedRun):
        assert all(b.busy - b.others < 0.6 for b in shipped.manifest.business.values())

    def test_serial_servers_predict_them_and_independent_ones_do_not(self, shipped: LoadedRun):
        errors = case_errors(compared(shipped)).set_index("model")
        serial, independent = errors.loc["serial"], errors.loc["independent"]
        assert serial["per_token_ms_error"].abs().median() < 0.05
        assert serial["per_token_ms_error"].abs().max() < 0.15
        assert serial["ttft_ms_error"].abs().median() < 0.15
        assert independent["per_token_ms_error"].abs().max() > 0.5

    def test_what_sessions_do_to_each_other_is_a_claim_of_the_scorecard(
        self, at_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        path = tmp_path / "testbed/loaded.parquet"
        assert main(["testbed", "load-report", "--results", str(path)]) == 0
        assert "1330 sessions in 26 cases; 1329 served" in capsys.readouterr().out
        claims = {claim.id: claim for claim in load_claims(Path("claims.yaml")).claims}
        claim = claims["model.concurrency_petals"]
        results = Results(tmp_path, study_caption(load_settings()), tmp_path)
        found = MEASURES[claim.measure](results, claim.files, **claim.arguments)["all"]
        assert found.value > claim.compare.contradicted_above
