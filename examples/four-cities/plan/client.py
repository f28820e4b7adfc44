"""A PETALS client that keeps to the chains of this plan; fill in peers and addresses.

Without PEERS it takes the route that PETALS chooses.
"""

import dataclasses

from petals import AutoDistributedModelForCausalLM
from petals.client import RemoteSequenceManager
from transformers import AutoTokenizer

MODEL = 'meta-llama/Meta-Llama-3-70B'
INITIAL_PEERS = ['/ip4/FIRST_HOST/tcp/31330/p2p/FIRST_PEER']
# Servers of the chain and their blocks, from 0, without the end; one chain per client's place.
CHAINS = {
    'Paris': [('fra-1', 0, 80)],
    'New York': [('nyc-1', 0, 46), ('nyc-2', 46, 80)],
}
PEERS = {}  # name of a server: its peer id, as it prints it when it starts


class PlannedChain(RemoteSequenceManager):
    """Answers with the planned chain; with PETALS' own while one of its servers is away."""

    place = 'Paris'

    def make_sequence(self, start_index=0, end_index=None, **more):
        whole = super().make_sequence(start_index, end_index, **more)
        end_index = len(self) if end_index is None else end_index
        online = {str(span.peer_id): span for span in self.state.sequence_info.spans_by_priority}
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
    MODEL, initial_peers=INITIAL_PEERS, use_server_to_server=False, max_pinged=12
)
if PEERS:
    layers = next(each for each in model.modules() if hasattr(each, "sequence_manager"))
    layers.sequence_manager.__class__ = PlannedChain
inputs = tokenizer("A cat sat", return_tensors="pt")["input_ids"]
print(tokenizer.decode(model.generate(inputs, max_new_tokens=16)[0]))
