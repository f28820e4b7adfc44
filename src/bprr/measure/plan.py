"""What is observed and in which order: settings, repeats, randomised rounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["FULL", "LEAST_ROUNDS", "QUICK", "REFERENCE", "Plan", "Visit", "rounds"]

REFERENCE = "reference"
LEAST_ROUNDS = 2  # without a second round nothing is known of drift


@dataclass(frozen=True)
class Visit:
    """One setting of one experiment."""

    experiment: str  # what is varied: a name of `bprr.measure.trace.UNITS`
    blocks: int  # that the input passes through
    context_tokens: int  # in the cache before the step
    input_tokens: int = 1  # of the step: 1 when decoding, l_in when prefilling
    batch: int = 1  # sequences processed together in a step
    sessions: int = 1  # that hold a cache and are served in turn

    @property
    def cached_tokens(self) -> int:
        """Tokens, summed over the blocks, that all caches of the visit have room for."""
        return self.blocks * self.batch * self.sessions * (self.context_tokens + self.input_tokens)


@dataclass(frozen=True)
class Plan:
    """Settings of a measurement.

    A run consists of rounds; every round visits each setting once, in a fresh random order, so that
    slow drift of the machine is spread over all settings instead of biasing some of them.
    """

    rounds: int  # if time allows
    # No round begins that would end later, except the first `LEAST_ROUNDS`: a busy machine gives
    # fewer rounds and wider intervals, not a longer measurement.
    budget_s: float
    decode_repeats: int  # timed steps of one visit
    prefill_repeats: int
    warm_up: int  # untimed steps before them
    reference_every: int  # visits between two of the reference setting, which shows drift
    blocks: tuple[int, ...]  # numbers of blocks for decoding
    prefill_blocks: tuple[int, ...]
    inputs: tuple[int, ...]  # levels of input length, context length, batch size, open sessions
    contexts: tuple[int, ...]
    batches: tuple[int, ...]
    sessions: tuple[int, ...]
    base_blocks: int = 2  # what the other experiments hold fixed
    base_context: int = 128

    @property
    def most_blocks(self) -> int:
        """Blocks that have to be in memory."""
        return max(*self.blocks, *self.prefill_blocks, self.base_blocks)

    @property
    def most_cached_tokens(self) -> int:
        """Tokens, summed over the blocks, that the caches of one visit hold at most."""
        return max(visit.cached_tokens for visit in self.settings())

    @property
    def reference(self) -> Visit:
        """Setting observed again and again."""
        return Visit(REFERENCE, self.base_blocks, self.base_context)

    def settings(self) -> list[Visit]:
        """Every setting once."""
        blocks, context = self.base_blocks, self.base_context
        return [
            Visit("decode_empty", 0, context),
            *(Visit("decode_blocks", count, context) for count in self.blocks),
            *(Visit("decode_context", blocks, tokens) for tokens in self.contexts),
            *(Visit("decode_batch", blocks, context, batch=batch) for batch in self.batches),
            *(Visit("decode_sessions", blocks, context, sessions=open_) for open_ in self.sessions),
            *(
                Visit("prefill_input", k, 0, l_in)
                for k in self.prefill_blocks
                for l_in in self.inputs
            ),
        ]

    def limited_to(self, blocks: int, tokens: int) -> Plan:
        """Same plan with levels from 1 to a number of blocks, and within a longest sequence."""
        levels = np.unique(np.linspace(1, blocks, num=len(self.blocks)).round().astype(int))
        return replace(
            self,
            blocks=tuple(int(level) for level in levels),
            prefill_blocks=tuple(sorted({1, max(1, (blocks + 1) // 2)})),
            base_blocks=min(self.base_blocks, blocks),
            base_context=min(self.base_context, tokens - 1),
            contexts=tuple(level for level in self.contexts if level < tokens),
            inputs=tuple(level for level in self.inputs if level <= tokens),
        )

    def steps(self, visit: Visit) -> int:
        """Timed steps of a visit; open sessions are all served at least once."""
        repeats = self.prefill_repeats if visit.input_tokens > 1 else self.decode_repeats
        return max(repeats, visit.sessions)


FULL = Plan(
    rounds=12,
    budget_s=1200,
    decode_repeats=5,
    prefill_repeats=1,
    warm_up=1,
    reference_every=6,
    blocks=(1, 2, 3, 4, 5, 6, 7, 8),
    prefill_blocks=(1, 3),
    inputs=(16, 32, 64, 128, 192, 256, 384, 512),
    contexts=(1, 32, 64, 128, 256, 512, 1024, 2000),
    batches=(1, 2, 4, 8),
    sessions=(1, 2, 4, 8, 16),
)

QUICK = Plan(
    rounds=6,
    budget_s=100,
    decode_repeats=3,
    prefill_repeats=2,
    warm_up=1,
    reference_every=6,
    blocks=(1, 2, 3, 4, 6),
    prefill_blocks=(1, 3),
    inputs=(16, 32, 64, 128, 256),
    contexts=(1, 128, 512, 1024),
    batches=(1, 2, 4),
    sessions=(1, 2, 4),
)


def rounds(plan: Plan, rng: np.random.Generator) -> Iterator[list[Visit]]:
    """Settings in the order in which each round visits them.

    Every setting comes once, shuffled anew by ``rng``; the reference setting opens the round and
    follows every ``reference_every`` visits.
    """
    settings = plan.settings()
    for _ in range(plan.rounds):
        order: list[Visit] = []
        for position, index in enumerate(rng.permutation(len(settings))):
            if position % plan.reference_every == 0:
                order.append(plan.reference)
            order.append(settings[index])
        yield order
