"""Sweeps do not depend on the order in which, or the processes by which, they are run."""

import hashlib
import multiprocessing

import pytest

from bprr.ground.storage import read_provenance, read_table, write_table
from bprr.study.planned import planned_sweep
from bprr.study.slices import sweep_slice
from bprr.study.sweep import run_sweep

JOBS = [("fig7", "abovenet"), ("fig9", "bellcanada"), ("table3", "cluster1")]
AXES = {
    "fig7": {"fleet.servers": [6, 15]},
    "fig9": {"workload.rate_per_s": [0.1, 1]},
    "table3": {"workload.rate_per_s": [0.5], "workload.output_tokens": [64]},
}


def small(configuration, seed=7):
    sweeps = {
        name: configuration.sweeps[name].model_copy(update={"axes": axes, "runs": 2})
        for name, axes in AXES.items()
    }
    return configuration.model_copy(update={"sweeps": sweeps, "seed": seed})


def written(folder, settings, job):
    """Hash of the Parquet file of a sweep."""
    planned = planned_sweep(settings, *job, folder / f"{'_'.join(job)}.parquet")
    write_table(run_sweep(settings, *job), planned.path, planned.provenance(), planned.source)
    return hashlib.sha256(planned.path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def in_order(configuration, tmp_path_factory):
    folder = tmp_path_factory.mktemp("in_order")
    settings = small(configuration)
    return folder, {job: written(folder, settings, job) for job in JOBS}


def test_same_seed_same_bytes_in_another_order_and_other_processes(
    configuration, in_order, tmp_path
):
    settings = small(configuration)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        tasks = [(tmp_path, settings, job) for job in reversed(JOBS)]
        found = dict(zip(reversed(JOBS), pool.starmap(written, tasks), strict=True))
    assert found == in_order[1]


def test_a_sweep_in_one_process_after_others_is_the_same(configuration, in_order, tmp_path):
    assert written(tmp_path, small(configuration), JOBS[0]) == in_order[1][JOBS[0]]


def test_different_seeds_differ(configuration, in_order):
    first = read_table(in_order[0] / "fig7_abovenet.parquet")
    second = run_sweep(small(configuration, seed=8), *JOBS[0])
    assert first["arrival_ms"].tolist() != second["arrival_ms"].tolist()
    assert first["per_token_ms"].tolist() != second["per_token_ms"].tolist()


def test_methods_meet_the_same_requests(in_order):
    for job in JOBS:
        table = read_table(in_order[0] / f"{'_'.join(job)}.parquet")
        table = table[table["status"] == "ok"]
        runs = table.groupby(["x", "run", "request"], observed=True)
        for column in ("arrival_ms", "client", "input_tokens", "servers"):
            assert (runs[column].nunique() == 1).all()
        assert table.groupby("run", observed=True)["arrival_ms"].max().nunique() == 2


def test_points_of_an_axis_share_their_draws(in_order):
    table = read_table(in_order[0] / "fig7_abovenet.parquet")
    table = table[table["status"] == "ok"]
    assert (table.groupby(["run", "request"])["arrival_ms"].nunique() == 1).all()


def test_what_is_written_can_be_read(configuration, in_order):
    folder, _ = in_order
    settings = small(configuration)
    table = run_sweep(settings, *JOBS[2])
    again = read_table(folder / "table3_cluster1.parquet")
    assert again.drop(columns=["status"]).equals(table.drop(columns=["status"]))
    provenance = read_provenance(folder / "table3_cluster1.parquet")
    made_from = provenance["settings"]
    assert (made_from["seed"], made_from["sweeps"]["table3"]["runs"]) == (7, 2)
    assert provenance["settings_hash"] == sweep_slice(settings, *JOBS[2]).digest
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{'_'.join(job)}.parquet" for job in JOBS
    )  # nothing half-written beside them
