"""What PETALS needs to run a plan: a configuration per server, a client, a compose file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from bprr.plan.record import PlanRecord, ServerRecord

__all__ = ["IMAGE", "client_snippet", "compose_file", "folder_names", "server_config"]

IMAGE = "learningathome/petals:main"
PEER = "/ip4/FIRST_HOST/tcp/31330/p2p/FIRST_PEER"
QUANT = {"nf4": "nf4", "int8": "int8", "none": "none"}


def folder_names(servers: Sequence[ServerRecord]) -> list[str]:
    """A name for the folder of each server: its own, of letters that every file system takes."""
    names: list[str] = []
    taken: set[str] = set()
    for server in servers:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", server.name).strip(".-")[:60] or "server"
        name, number = plain, 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def server_config(plan: PlanRecord, server: ServerRecord, model: str) -> str:
    """``config.yml`` of PETALS' ``run_server --config``."""
    quant = QUANT.get(plan.quantisation)
    lines = [
        f"# python -m petals.cli.run_server --config config.yml  ({server.blocks} of"
        f" {plan.blocks} blocks, {server.weights_gb:g} GB; cache {server.cache_gb:g} GB)",
        f"converted_model_name_or_path: {json.dumps(model)}",
        "# From 0, without the end; strict: PETALS then does not move to other blocks.",
        f'block_indices: "{server.block_indices}"',
        f"# {server.sessions} sessions of {sum(plan.session.values())} tokens; PETALS' own:"
        f" {server.petals_cache_tokens_per_block}.",
        f"attn_cache_tokens: {server.cache_tokens_per_block}",
        *([] if quant is None else [f"quant_type: {quant}"]),
        "# PETALS times itself; the plan reckons with"
        f" {1000.0 / (server.tau_ms.value or 1.0):.4g} blocks/s.",
        "throughput: auto",
        f"public_name: {json.dumps(server.name, ensure_ascii=True)}",
        "identity_path: identity.key",
        "port: 31330",
        "# All but the first server of the swarm, which gets new_swarm: true instead:",
        f'initial_peers: ["{PEER}"]',
    ]
    return "\n".join(lines) + "\n"


def compose_file(plan: PlanRecord, folders: Mapping[int, str]) -> str:
    """``docker compose --profile NAME up`` on the host of each server."""
    lines = ["# docker compose --profile NAME up -d, on the host of each server.", "services:"]
    for server in plan.placement:
        if not server.blocks:
            continue
        folder = folders[server.server]
        service = re.sub(r"[^a-z0-9_-]", "-", folder.lower())
        lines += [
            f"  {service}:",
            f"    image: {IMAGE}",
            f"    profiles: [{json.dumps(folder)}]",
            "    command: python -m petals.cli.run_server --config /plan/config.yml",
            "    network_mode: host",
            "    ipc: host",
            "    restart: unless-stopped",
            "    volumes:",
            f"      - ./servers/{folder}:/plan",
            "      - petals-cache:/cache",
            "    deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1,"
            " capabilities: [gpu]}]}}}",
        ]
    return "\n".join([*lines, "volumes:", "  petals-cache:", ""])


CLIENT = '''"""A PETALS client that keeps to the chains of this plan; fill in peers and addresses.

Without PEERS it takes the route that PETALS chooses.
"""

import dataclasses

from petals import AutoDistributedModelForCausalLM
from petals.client import RemoteSequenceManager
from transformers import AutoTokenizer

MODEL = {model}
INITIAL_PEERS = [{peer}]
# Servers of the chain and their blocks, from 0, without the end; one chain per client's place.
CHAINS = {chains}
PEERS = {{}}  # name of a server: its peer id, as it prints it when it starts


class PlannedChain(RemoteSequenceManager):
    """Answers with the planned chain; with PETALS' own while one of its servers is away."""

    place = {place}

    def make_sequence(self, start_index=0, end_index=None, **more):
        whole = super().make_sequence(start_index, end_index, **more)
        end_index = len(self) if end_index is None else end_index
        online = {{str(span.peer_id): span for span in self.state.sequence_info.spans_by_priority}}
        chain = []
        for name, start, end in CHAINS[self.place]:
            span = online.get(PEERS.get(name, ""))
            if span is None:
                return whole
            start, end = max(start, start_index), min(end, end_index)
            if start < end:
                chain.append(dataclasses.replace(span, start=start, end=end))
        return chain


tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoDistributedModelForCausalLM.from_pretrained(
    MODEL, initial_peers=INITIAL_PEERS, use_server_to_server=False, max_pinged={servers}
)
if PEERS:
    layers = next(each for each in model.modules() if hasattr(each, "sequence_manager"))
    layers.sequence_manager.__class__ = PlannedChain
inputs = tokenizer("A cat sat", return_tensors="pt")["input_ids"]
print(tokenizer.decode(model.generate(inputs, max_new_tokens=16)[0]))
'''


def client_snippet(plan: PlanRecord, model: str) -> str:
    """``client.py``: a client that keeps to the plan's chains."""
    chains = {}
    for chain in plan.chains:
        spans, done = [], 0
        for hop in chain.hops:
            spans.append((hop.name, done, done + hop.blocks))
            done += hop.blocks
        chains[chain.place] = spans
    body = "".join(f"\n    {place!r}: {spans!r}," for place, spans in chains.items())
    return CLIENT.format(
        model=repr(model),
        peer=repr(PEER),
        chains=f"{{{body}\n}}",
        place=repr(next(iter(chains))),
        servers=sum(server.blocks > 0 for server in plan.placement),
    )
