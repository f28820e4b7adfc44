"""What plans do not know: decoding times that are others, a server that is gone, real arrivals."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bprr.commands.main import main
from bprr.figures.robust import _text
from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError, InputError, InputErrors
from bprr.ground.registry import CHURN, PLACEMENT, ROUTING, SERVICE, Choice, ChoiceOf
from bprr.ground.request import Request
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.placement.base import Placement
from bprr.placement.composed import ChainTable
from bprr.routing.base import RouterAround, RoutingContext
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.scenario.workload import Workload
from bprr.settings.configuration import load_settings
from bprr.simulation import Delays, simulate
from bprr.study.capacity import capacity_per_s
from bprr.study.lengths import mean_lengths
from bprr.study.lost import after_loss
from bprr.study.method import MethodRunner
from bprr.study.points import catalogue, sweep_points

SERIAL = {"serial": {"belief": "where_room"}}


def drawn(published, requests=30, topology="bellcanada", run=0, **keys):
    overrides = {
        "network.name": topology,
        "workload.rate_per_s": 0.1338,
        "workload.requests": requests,
        "admission": "central_queue",
        "service": SERIAL,
        **keys,
    }
    return draw(load_scenario("scattered", overrides), published, 2025, run)


def ran(configuration, instance, name):
    return MethodRunner(instance).run(configuration.methods[name], 0.0)


def swarm_of(tau_ms):
    model = LanguageModel(name="m", blocks=4, d_model=1, block_gb=1.0, cache_bytes_per_value=1.0,
                          max_sequence_tokens=1000)  # fmt: skip
    nothing = np.zeros(2)
    return Swarm(model, np.full(2, 5.0), np.array(tau_ms), nothing, nothing, np.zeros((1, 2)),
                 np.zeros((1, 2)))  # fmt: skip


@pytest.mark.parametrize("service", ["independent", SERIAL])
def test_routing_goes_by_beliefs_and_servers_take_their_own_time(service):
    # Each hosts the whole model. The second is the faster one, and taken for the slower one.
    believed, true = swarm_of([2.0, 4.0]), swarm_of([6.0, 3.0])
    placement = Placement(believed, np.array([1, 1]), np.array([4, 4]), np.array([400, 400]))
    choice = ChoiceOf(SERVICE).read(service)
    once = Workload(np.array([0.0]), 0, 1, 11)
    records = simulate(
        placement, once, "ws_rr", admission="central_queue", service=choice, serving=true
    )
    assert records.chain_server.tolist() == [0]
    assert records.completion_ms.tolist() == [10 * 4 * 6.0]
    told = simulate(
        Placement(true, np.array([1, 1]), np.array([4, 4]), np.array([400, 400])),
        once, "ws_rr", admission="central_queue", service=choice,
    )  # fmt: skip
    assert told.completion_ms.tolist() == [10 * 4 * 3.0]


@pytest.mark.parametrize("name", ["petals", "proposed", "two_resource", "pipe_f"])
def test_beliefs_that_are_true_change_nothing(configuration, published, name):
    plain, placement = ran(configuration, drawn(published), name)
    known = drawn(published, believed={"tau_least": 1.0, "tau_most": 1.0})
    records, same = ran(configuration, known, name)
    assert records.completion_ms.tolist() == plain.completion_ms.tolist()
    assert same.blocks.tolist() == placement.blocks.tolist()
    assert same.swarm is known.swarm


@pytest.mark.parametrize("name", ["proposed", "two_resource", "pipe_f"])
def test_routing_that_has_learned_the_times_moves_no_block(configuration, published, name):
    wrong = {"tau_least": 0.6, "tau_most": 1.6}
    misled, placement = ran(configuration, drawn(published, believed=wrong), name)
    learned = drawn(published, believed={**wrong, "routing": "learned"})
    records, same = ran(configuration, learned, name)
    assert same.blocks.tolist() == placement.blocks.tolist() and same.swarm is learned.swarm
    method, scenario = configuration.methods[name], learned.scenario
    true = simulate(
        placement, learned.workload, method.routing, admission=scenario.admission,
        service=method.service or scenario.service,
        delays=Delays(scenario.overheads.initial_ms),
    )  # fmt: skip
    assert records.completion_ms.tolist() == true.completion_ms.tolist()
    assert records.completion_ms.tolist() != misled.completion_ms.tolist() or name != "proposed"


def test_routing_takes_the_mean_where_it_knows_no_lengths(configuration, published):
    alike = drawn(published, believed={"lengths": "mean"})
    for name in ("proposed", "pipe_f"):
        records, _ = ran(configuration, alike, name)
        plain, _ = ran(configuration, drawn(published), name)
        assert records.completion_ms.tolist() == plain.completion_ms.tolist()
    seen = []

    class Watching(RouterAround):
        def route(self, request, now_ms):
            seen.append(request.output_tokens)
            return super().route(request, now_ms)

    class Told(Watching):
        def admitted(self, request, route):
            seen.append(request.output_tokens)

        def ended(self, request, route):
            seen.append(request.output_tokens)

    context = RoutingContext(*alike_and_caches(alike, configuration))
    inner = Told(ROUTING.build("ws_rr", context))
    service = ChoiceOf(SERVICE).read({"serial": {"belief": "where_room"}})
    router = mean_lengths(service, 7, Watching)(inner)
    request = Request(0, 20, 128, 148)
    route = router.route(request, 0.0)
    router.admitted(request, route)
    router.ended(request, route)
    assert seen == [128, 7, 7, 7]  # the watcher outside sees them as they are
    assert mean_lengths(service, 7, None)(inner).route(request, 0.0).servers.size
    for tells in ("independent", {"serial": {"belief": "ends_now"}}):
        with pytest.raises(InputError, match="belief: where_room, where lengths are not known"):
            mean_lengths(ChoiceOf(SERVICE).read(tells), 7, None)


def alike_and_caches(instance, configuration):
    placement = MethodRunner(instance).placement(configuration.methods["proposed"].placement, 0.0)
    return placement, Caches(placement.cache_tokens)


def test_every_server_is_misjudged_in_its_own_way_and_nothing_else_is(published):
    plain = drawn(published)
    one, other = (drawn(published, run=run, believed={"tau_least": 0.8, "tau_most": 1.2})
                  for run in (0, 1))  # fmt: skip
    factor = one.believed.tau_ms / one.swarm.tau_ms
    assert (factor >= 0.8).all() and (factor <= 1.2).all() and np.unique(factor).size == factor.size
    assert np.ptp(factor) > 0.2
    assert factor.tolist() != (other.believed.tau_ms / other.swarm.tau_ms).tolist()
    assert (one.believed.inference_rps * factor).tolist() == pytest.approx(one.swarm.inference_rps)
    assert one.swarm.tau_ms.tolist() == plain.swarm.tau_ms.tolist()
    assert one.workload.arrival_ms.tolist() == plain.workload.arrival_ms.tolist()
    assert one.believed.prefill_ms.tolist() == plain.swarm.prefill_ms.tolist()


def test_a_plan_for_faster_servers_is_another_plan(configuration, published):
    fast = drawn(published, believed={"tau_least": 0.5, "tau_most": 0.5})
    records, placement = ran(configuration, fast, "pipe_f")
    _, plain = ran(configuration, drawn(published), "pipe_f")
    assert placement.blocks.tolist() != plain.blocks.tolist()
    # A session alone takes what its chain takes, whatever was believed.
    first = records.chain_server[: records.chain_start[1]]
    held = records.chain_processed[: records.chain_start[1]]
    least_ms = 127 * (held * fast.swarm.tau_ms[first]).sum()
    assert records.completion_ms[0] - records.ttft_ms[0] >= least_ms


@pytest.mark.parametrize("name", ["proposed", "two_resource", "pipe_f", "successor"])
@pytest.mark.parametrize("server", ["most_blocks", "random"])
def test_a_server_that_is_gone_serves_nobody(configuration, published, name, server):
    _, before = ran(configuration, drawn(published), name)
    instance = drawn(published, lost={"server": server})
    gone = int(np.lexsort((before.swarm.tau_ms, -before.blocks))[0])
    if server == "random":
        gone = int(instance.streams.of("churn").integers(before.swarm.servers))
    others = np.arange(before.swarm.servers) != gone
    try:
        records, left = ran(configuration, instance, name)
    except InfeasibleError as error:
        assert "lost" in str(error)
        hosted = np.zeros(70, dtype=bool)
        for first, count in zip(before.first_block[others], before.blocks[others], strict=True):
            hosted[first - 1 : first - 1 + count] = True
        assert not hosted.all()
    else:
        assert left.blocks[gone] == left.cache_tokens[gone] == 0
        assert left.blocks[others].tolist() == before.blocks[others].tolist()
        assert gone not in records.chain_server
    anew = drawn(published, lost={"server": server, "placed_anew": True})
    records, again = ran(configuration, anew, name)
    assert gone not in records.chain_server and again.blocks[gone] == 0
    smaller = drawn(published).part(np.flatnonzero(others))
    _, alone = ran(configuration, smaller, name)
    assert again.blocks[others].tolist() == alone.blocks.tolist()
    assert again.first_block[others].tolist() == alone.first_block.tolist()


def test_times_without_a_server_are_those_of_a_smaller_fleet(configuration, published):
    anew = drawn(published, lost={"server": "most_blocks", "placed_anew": True})
    _, before = ran(configuration, drawn(published), "pipe_f")
    others = np.delete(np.arange(19), np.lexsort((before.swarm.tau_ms, -before.blocks))[0])
    alone, _ = ran(configuration, drawn(published).part(others), "pipe_f")
    assert ran(configuration, anew, "pipe_f")[0].completion_ms == pytest.approx(alone.completion_ms)


def test_a_broken_chain_is_said(configuration, published):
    # Nine servers make two chains at most, and one if λ is small: without one server there is none.
    instance = drawn(published, topology="abovenet", **{"workload.rate_per_s": 0.001},
                     lost={"server": "most_blocks"})  # fmt: skip
    with pytest.raises(InfeasibleError, match="35 of 70 blocks hosted nowhere"):
        ran(configuration, instance, "pipe_f")


def test_blocks_without_a_whole_chain_serve_nobody(configuration, published):
    """Two chains share the server that is lost, of blocks that others host too."""
    instance = drawn(published, lost={"server": "most_blocks"})
    count, swarm = instance.swarm.servers, instance.planned_swarm
    everything = np.full(count, 70)
    placement = Placement(swarm, np.ones(count, dtype=int), everything, 1000 * everything)
    gone = int(np.argmin(instance.swarm.tau_ms))
    left, right = (gone + 1) % count, (gone + 2) % count

    def after(*servers):
        chains = ChainTable(
            np.array([0, 2, 4]), np.array(servers), np.array([30, 40, 50, 20]),
            np.array([3.0, 4.0]), np.array([[5.0, 6.0]]),
        )  # fmt: skip
        given = replace(placement, details={"chains": chains})
        return after_loss(instance, given, None).details["chains"]

    with pytest.raises(InfeasibleError, match="every chain"):
        after(gone, left, right, gone)
    kept = after(gone, left, left, right)
    assert [each.tolist() for each in kept] == [[0, 2], [left, right], [50, 20], [4.0], [[6.0]]]


def test_a_placement_of_another_swarm_loses_no_server(configuration, published):
    _, other = ran(configuration, drawn(published), "proposed")
    with pytest.raises(InputError, match="a server of another placement"):
        after_loss(drawn(published, lost={"server": "random"}), other, None)


def test_losses_that_mean_nothing_are_refused(configuration, published):
    instance = drawn(published, lost={"server": "random"})
    for name in ("max_flow", "offloading"):
        with pytest.raises(InputError, match="lost"):
            ran(configuration, instance, name)
    with pytest.raises((InputError, InputErrors), match="tau_least"):
        load_scenario("scattered", {"believed": {"tau_least": 1.2, "tau_most": 0.8}})


def test_a_living_swarm_may_be_misjudged(configuration, published):
    churn = Choice("exponential", CHURN["exponential"].Options(mean_up_s=1e6, mean_down_s=1.0))
    keys = {"service": "independent", "admission": "retry", "churn": churn.content()}
    told, _ = ran(configuration, drawn(published, **keys), "proposed")
    wrong = {"believed": {"tau_least": 2.0, "tau_most": 2.0}}
    misjudged, _ = ran(configuration, drawn(published, **keys, **wrong), "proposed")
    assert misjudged.completion_ms.min() == pytest.approx(told.completion_ms.min(), rel=0.2)


@pytest.mark.parametrize("topology", ["abovenet", "bellcanada"])
def test_pipe_leaves_room_for_the_sessions_that_run_for_long(published, topology):
    """Longer sessions hold more cache for longer: planned for the mean, it filled up."""
    shipped = load_settings().sweeps["robust_serial"].one_at_a_time["workload"][topology][0]
    rate = shipped["rate_per_s"]
    scenario = load_scenario("scattered", {"network.name": topology, "workload": shipped})
    instance = draw(scenario, published, 2025, 0)
    lengths, tokens = instance.workload.output_tokens, instance.workload.cache_tokens
    assert instance.held_tokens == pytest.approx((tokens * lengths).sum() / lengths.sum(), abs=1)
    assert instance.held_tokens > 1.2 * instance.design_request.cache_tokens
    service = ChoiceOf(SERVICE).read({"serial": {"order": "oldest", "prompt": "block"}})
    runner = MethodRunner(instance)
    placement = runner.placement(Choice("pipe", PLACEMENT["pipe"].Options()), 0.0, service)
    free = ChoiceOf(SERVICE).read("independent")
    request = instance.design_request._replace(cache_tokens=instance.held_tokens)
    built = SERVICE.build(free, instance.swarm, 0.0)
    assert capacity_per_s(placement, request, built) > 1.3 * rate
    assert drawn(published).held_tokens == drawn(published).design_request.cache_tokens == 148


def test_misjudged_and_lost_through_the_door(capsys):
    words = ["simulate", "scattered", "--method", "pipe_f", "--runs", "1", "--json"]
    for text in (
        "network.name=bellcanada",
        "workload.requests=20",
        "admission=central_queue",
        "service={serial: {prompt: token}}",
        "believed={tau_least: 0.8, tau_most: 1.2}",
        "lost={server: most_blocks, placed_anew: true}",
    ):
        words += ["--set", text]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)["methods"]["pipe_f"]
    assert told["requests"] == 20 and 0 in [each["blocks"] for each in told["servers"]]


def test_changes_are_said_in_words():
    shipped = load_settings().sweeps["robust_serial"].one_at_a_time
    said = [_text(key, json.dumps(value)) for key in ("fleet", "believed", "lost")
            for value in shipped[key]]  # fmt: skip
    assert said == [
        "servers: mig alone, mig of 24 GB",
        "servers: rtx_4090_estimated alone",
        "servers: 0.5 a100, rtx_4090_estimated",
        "τ believed × 0.8 to 1.2, each its own",
        "τ believed × 0.8",
        "τ believed × 1.2",
        "τ believed × 0.8 to 1.2, each its own, learned by routing",
        "τ believed × 0.8, learned by routing",
        "τ believed × 1.2, learned by routing",
        "server lost: most blocks",
        "server lost: most blocks, placed anew",
        "server lost: random",
        "server lost: random, placed anew",
    ]


def test_real_arrivals_are_read_where_a_user_has_them(root, tmp_path):
    traces = root.parent / "shared/data/traces"
    if not (traces / "azure_2023_code.csv").exists():
        pytest.skip("needs azure_2023_code.csv and azure_2023_conversation.csv")
    shipped = (root / "config/real_arrivals.yaml").read_text(encoding="utf-8")
    own = tmp_path / "real_arrivals.yaml"
    own.write_text(shipped.replace("../data/azure", str(traces)), encoding="utf-8")
    settings = load_settings(own)
    loads = {"abovenet": (0.0534, 0.2230), "bellcanada": (0.1139, 0.5437)}
    for topology, most_per_s in loads.items():
        for point, most in zip(
            sweep_points(settings, "real_arrivals", topology), most_per_s, strict=True
        ):
            instance = draw(point.scenario, catalogue(settings), settings.seed, 0)
            assert len(instance.workload) == 1000
            assert instance.rate_per_s == pytest.approx(0.6 * most, rel=2e-3)
            tokens = instance.workload.input_tokens + instance.workload.output_tokens
            assert tokens.max() == 2048
            assert any("truncated" in remark for remark in instance.remarks)
