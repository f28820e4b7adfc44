"""What a testbed run leaves of every request: measured beside predicted, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bprr.simulation import Records
from bprr.testbed.prediction import Case, chain_of

__all__ = ["COLUMNS", "chain_text", "request_rows"]

COLUMNS = (
    "group", "client", "rate_per_s", "output_tokens", "session_tokens", "method", "request",
    "arrival_ms", "status", "lag_ms", "wait_ms", "ttft_ms", "completion_ms", "per_token_ms",
    "remaining_per_token_ms", "retries", "chain", "tokens_equal",
    "predicted_wait_ms", "predicted_ttft_ms", "predicted_completion_ms", "predicted_per_token_ms",
    "predicted_remaining_per_token_ms", "predicted_retries", "predicted_chain",
)  # fmt: skip


def chain_text(chain: Sequence[tuple[int, int, int]]) -> str:
    """Chain as text, blocks numbered from 1 as in the paper: ``0:1-9 3:10-14``."""
    return " ".join(f"{server}:{first + 1}-{end}" for server, first, end in chain)


def request_rows(
    case: Case,
    method: str,
    measured: Sequence[Mapping[str, Any]],
    predicted: Records,
    server_of_peer: Mapping[str, int],
    local_tokens: Sequence[Sequence[int]],
) -> pd.DataFrame:
    """One row per request of a case.

    Parameters
    ----------
    measured : sequence of mapping
        Records of the client process.
    predicted : Records
        The simulator's.
    server_of_peer : mapping
        Server of each peer id.
    local_tokens : sequence of sequence of int
        Greedy tokens of local transformers.
    """
    theirs = predicted.table()
    rows = []
    for index, record in enumerate(measured):
        done = record.get("status") == "ok"
        completion_ms = record["last_token_ms"] if done else np.nan
        ttft_ms = record.get("ttft_ms", np.nan)
        chain = [(server_of_peer[peer], start, end) for peer, start, end in record.get("chain", ())]
        rows.append(
            {
                "group": case.group,
                "client": case.client_cluster,
                "rate_per_s": case.rate_per_s,
                "output_tokens": case.output_tokens,
                "session_tokens": int(predicted.workload.cache_tokens[index]),
                "method": method,
                "request": index,
                "arrival_ms": predicted.workload.arrival_ms[index],
                "status": record.get("status", "timeout"),
                "lag_ms": record.get("lag_ms", np.nan),
                "wait_ms": record.get("wait_ms", np.nan),
                "ttft_ms": ttft_ms,
                "completion_ms": completion_ms,
                "per_token_ms": completion_ms / case.output_tokens,
                "remaining_per_token_ms": (completion_ms - ttft_ms)
                / max(case.output_tokens - 1, 1),
                "retries": record.get("retries", -1),
                "chain": chain_text(chain),
                "tokens_equal": bool(done and record["token_ids"] == list(local_tokens[index])),
                "predicted_wait_ms": theirs["wait_ms"][index],
                "predicted_ttft_ms": theirs["ttft_ms"][index],
                "predicted_completion_ms": predicted.completion_ms[index],
                "predicted_per_token_ms": theirs["per_token_ms"][index],
                "predicted_remaining_per_token_ms": theirs["remaining_per_token_ms"][index],
                "predicted_retries": int(theirs["attempts"][index]) - 1,
                "predicted_chain": chain_text(chain_of(*predicted.chain(index))),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))
