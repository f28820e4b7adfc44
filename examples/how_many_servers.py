# %% [markdown]
"""How many servers a swarm needs.

A notebook of plain text, with what `import bprr` offers. Editors that know `# %%` run it cell by
cell; `python examples/how_many_servers.py` runs the whole.
"""

# %% Twenty requests to BLOOM-176B on AboveNet, on ever more servers; three draws of each
import matplotlib
import pandas as pd

import bprr

SERVERS = (9, 12, 16, 22)
METHODS = ["petals", "proposed"]
scenario = {
    count: bprr.load_scenario("scattered", {"fleet.servers": count, "workload.requests": 20})
    for count in SERVERS
}
requests = pd.concat(
    bprr.simulate(scenario[count], METHODS, runs=3).assign(servers=count) for count in SERVERS
)

# %% Seconds per token: the mean over requests, then over draws, and how far the draws are apart
draws = requests.groupby(["servers", "method", "run"])["per_token_ms"].mean() / 1000
seconds = draws.groupby(["servers", "method"]).agg(["mean", "std"]).unstack("method")
print(seconds.round(2).to_string())

# %% The same with the delays that the paper's artefact sets by hand
delayed = bprr.simulate(scenario[12], METHODS, runs=3, delays="published")
print((delayed.groupby("method")["per_token_ms"].mean() / 1000).round(2).to_string())

# %% Who hosts what with 12 servers, in the first draw
placement = bprr.place(scenario[12], "proposed")
for device, first, count in zip(
    placement.swarm.device, placement.first_block, placement.blocks, strict=True
):
    print(f"{device:>5}  blocks {first} to {first + count - 1}")

# %% A GPU of your own in place of the A100s: half the time per block
settings = bprr.load_settings()
a100 = settings.all_devices["a100"]
mine = a100.model_copy(update={"tau_ms": a100.tau_ms / 2})
own = settings.model_copy(update={"devices": {"mine": mine}})
swarm = bprr.load_scenario(
    "scattered",
    {"fleet.servers": 12, "fleet.share": {"mine": 0.2}, "workload.requests": 20},
)
better = bprr.simulate(swarm, "proposed", runs=3, settings=own)["per_token_ms"].mean() / 1000
print(f"{seconds.loc[12, ('mean', 'proposed')]:.2f} s per token, with such GPUs {better:.2f} s")

# %% A figure of the first table
matplotlib.use("Agg")  # not in a notebook
axes = seconds["mean"].plot(yerr=seconds["std"], marker="o", xlabel="servers", ylabel="s per token")
axes.figure.savefig("how_many_servers.png")
