"""Caches that a server charges by pages as sessions fill them, instead of whole at their start.

Put in the place of PETALS' own `MemoryCache`, without a fork. A session that finds no page free
fails with `AllocationFailed`; it has to give everything back and start again, or else sessions
wait for each other's pages for ever.
"""

from __future__ import annotations

import ctypes
import dataclasses
import multiprocessing as mp
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import petals.server.server as petals_server
import torch
from petals.server.backend import TransformerBackend
from petals.server.memory_cache import AllocationFailed, MemoryCache

__all__ = ["charge_by_pages"]

HANDLES = 1 << 16  # of tensors that are alive at once, at most
CLOSED = -1


def charge_by_pages(page_tokens: int) -> None:
    """Let servers that are started after this charge caches by pages of so many tokens."""

    class Growing(_GrowingCache):
        page = page_tokens

    petals_server.MemoryCache = Growing
    genuine = TransformerBackend.inference_step

    def grown(backend: Any, hidden: torch.Tensor, hypo_ids: Any, info: Any) -> Any:
        backend.memory_cache.grow(info.cache_handles, info.prefix_length + hidden.shape[1])
        return genuine(backend, hidden, hypo_ids, info)

    TransformerBackend.inference_step = grown


class _GrowingCache(MemoryCache):
    page: int

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        # Bytes beyond the first page, by handle: charged in the runtime, settled in a handler.
        self._grown = mp.Array(ctypes.c_int64, HANDLES, lock=False)

    @asynccontextmanager
    async def allocate_cache(self, *descriptors: Any, timeout: float):  # type: ignore[no-untyped-def]
        """First page of each tensor; keys have their tokens in the last place, values before it."""
        pages = [
            dataclasses.replace(each, size=_resized(each.size, number, self.page))
            for number, each in enumerate(descriptors)
        ]
        async with super().allocate_cache(*pages, timeout=timeout) as handles:
            yield handles

    async def _schedule_alloc(self, *arguments: Any, **more: Any) -> Sequence[int]:
        handles = await super()._schedule_alloc(*arguments, **more)
        for handle in handles:
            self._grown[handle % HANDLES] = 0
        return handles

    def _free(self, alloc_size: int, alloc_task: Any) -> None:
        if alloc_task.exception() is None:
            with self._lock_metadata:
                for handle in alloc_task.result():
                    self.current_size_bytes -= max(self._grown[handle % HANDLES], 0)
                    self._grown[handle % HANDLES] = CLOSED
        super()._free(alloc_size, alloc_task)

    def grow(self, handles: Sequence[int], tokens: int) -> None:
        """Make room for so many tokens in the tensors of a block, in the runtime.

        Raises
        ------
        AllocationFailed
            If no page is free, or the session has ended.
        """
        with self.use_cache(*handles) as tensors:
            pass
        if tensors[0].shape[-1] >= tokens:
            return
        whole = -(-tokens // self.page) * self.page
        larger = [
            tensor.new_zeros(_resized(tensor.shape, number, whole))
            for number, tensor in enumerate(tensors)
        ]
        more = [new.nbytes - old.nbytes for new, old in zip(larger, tensors, strict=True)]
        with self._lock_metadata:
            if any(self._grown[handle % HANDLES] == CLOSED for handle in handles):
                raise AllocationFailed("the session has ended")
            if self.current_size_bytes + sum(more) > self.max_size_bytes:
                raise AllocationFailed(f"no page of {self.page} tokens is free")
            self.current_size_bytes += sum(more)
            for handle, size in zip(handles, more, strict=True):
                self._grown[handle % HANDLES] += size
        for handle, old, new in zip(handles, tensors, larger, strict=True):
            new[tuple(map(slice, old.shape))] = old
            self._allocated_tensors[handle] = new


def _resized(size: Sequence[int], number: int, tokens: int) -> tuple[int, ...]:
    place = 3 if number % 2 == 0 else 2
    return (*size[:place], tokens, *size[place + 1 :])
