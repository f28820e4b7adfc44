"""A mixed-integer linear programme as arrays, independent of any solver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bprr.ground.swarm import FloatArray, IntArray

__all__ = ["Milp", "RowBuilder"]


@dataclass(frozen=True)
class Milp:
    """Minimise ``cost · x`` over ``row_lower ≤ matrix x ≤ row_upper``, ``lower ≤ x ≤ upper``.

    Bounds of the N columns are finite, sides of the M rows possibly infinite.
    """

    cost: FloatArray  # shape (N,)
    lower: FloatArray
    upper: FloatArray
    integer: NDArray[np.bool_]  # columns that must be whole
    matrix: sparse.csr_matrix  # shape (M, N)
    row_lower: FloatArray  # shape (M,)
    row_upper: FloatArray

    @property
    def columns(self) -> int:
        """Number of columns, N."""
        return int(self.cost.shape[0])

    @property
    def rows(self) -> int:
        """Number of rows, M."""
        return int(self.row_lower.shape[0])

    def restricted(self, upper: FloatArray) -> tuple[Milp, IntArray]:
        """Lower the upper bounds; drop the columns that become 0 and the rows that always hold.

        Also gives the places that the columns which are left had in this programme.
        """
        kept = np.flatnonzero((upper > 0) | (self.lower != 0))
        low, high, matrix = self.lower[kept], upper[kept], sparse.csr_matrix(self.matrix[:, kept])
        gain, loss = matrix.maximum(0), matrix.minimum(0)
        least, most = gain @ low + loss @ high, gain @ high + loss @ low
        rows = np.flatnonzero((least < self.row_lower) | (most > self.row_upper))
        smaller = Milp(
            self.cost[kept],
            low,
            high,
            self.integer[kept],
            sparse.csr_matrix(matrix[rows]),
            self.row_lower[rows],
            self.row_upper[rows],
        )
        return smaller, kept


class RowBuilder:
    """Collects sparse rows given as arrays of (row, column, value)."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.integer]] = []
        self._columns: list[NDArray[np.integer]] = []
        self._values: list[FloatArray] = []
        self._lower: list[FloatArray] = []
        self._upper: list[FloatArray] = []
        self._count = 0

    def add(self, lower: FloatArray, upper: FloatArray) -> IntArray:
        """Open rows with these sides and return their numbers."""
        lower, upper = np.atleast_1d(lower), np.atleast_1d(upper)
        self._lower.append(lower.astype(float))
        self._upper.append(upper.astype(float))
        first, self._count = self._count, self._count + len(lower)
        return np.arange(first, self._count)

    def fill(
        self,
        rows: NDArray[np.integer],
        columns: NDArray[np.integer],
        values: FloatArray | float,
    ) -> None:
        """Add ``values`` at (rows, columns); the three broadcast together."""
        row, column, value = np.broadcast_arrays(rows, columns, np.asarray(values, dtype=float))
        self._rows.append(row.ravel())
        self._columns.append(column.ravel())
        self._values.append(value.ravel())

    def build(
        self, cost: FloatArray, lower: FloatArray, upper: FloatArray, integer: NDArray[np.bool_]
    ) -> Milp:
        """Programme with these columns and the rows collected."""
        shape = (self._count, len(cost))
        entries = (
            np.concatenate(self._values),
            (np.concatenate(self._rows), np.concatenate(self._columns)),
        )
        matrix = sparse.coo_matrix(entries, shape=shape).tocsr()
        matrix.eliminate_zeros()
        return Milp(
            np.asarray(cost, dtype=float),
            np.asarray(lower, dtype=float),
            np.asarray(upper, dtype=float),
            integer,
            matrix,
            np.concatenate(self._lower),
            np.concatenate(self._upper),
        )
