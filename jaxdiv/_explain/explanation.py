"""What an explanation is, and how it reads."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.core
import numpy as np
from jaxtyping import Array, Float

from .mismatch import SupportMismatch

_MOST_ROWS = 12  # of one kind, beyond which the least are put together


class Explanation(eqx.Module):
    """A divergence as the sum of its parts. Made by `explain`.

    Printed, it is a table (and with `rich.print` a better one); `jaxdiv.plot.plot_explanation` is
    the figure. Both are of one example: `explanation[i]` is that of a batch.

    Attributes:
        value: the divergence, per example.
        terms: by name, arrays that have the batch axes of `value`, and may have one more: the
            classes or the coordinates. All of them together sum to `value`, to rounding.
        mismatch: the outcomes of P that Q lacks (see `support_mismatch`).
        kinds: the names of the terms, in the order in which they are read.
        names: of the entries of the last axis of a term; numbers if None.
        title: what was explained.
        unit: `"nats"`, or what `base` was; `""` where there is none.
    """

    value: Float[Array, "*batch"]
    terms: dict[str, Float[Array, "..."]]
    mismatch: SupportMismatch | dict[str, Any] | None
    kinds: tuple[str, ...] = eqx.field(static=True)
    names: tuple[str, ...] | None = eqx.field(static=True)
    title: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)

    def __getitem__(self, index: Any) -> "Explanation":
        return jax.tree.map(lambda x: x[index], self)

    def rows(self, most: int = _MOST_ROWS) -> list[tuple[str, float]]:
        """Label and value of each term of one example, of one kind only so many, the largest first.

        The rest of a kind is one row, so that all rows sum to the value.
        """
        if np.ndim(self.value):
            raise ValueError(
                f"an explanation of batch shape {np.shape(self.value)} is of several examples: "
                "choose one of them, explanation[i]."
            )
        return [row for kind in self.kinds for row in self._rows(kind, most)]

    def _rows(self, kind: str, most: int) -> Iterator[tuple[str, float]]:
        values = np.asarray(self.terms[kind])
        if not values.ndim:
            yield kind, float(values)
            return
        order = np.arange(values.size)
        if values.size > most:
            order = np.argsort(-abs(values), kind="stable")
        for i in order[:most]:
            yield f"{kind} {i if self.names is None else self.names[i]}", float(values[i])
        if values.size > most:
            yield f"the other {values.size - most:,}", float(np.sum(values[order[most:]]))

    def _shares(self) -> Iterator[tuple[str, str, str]]:
        value = float(self.value)
        for label, term in self.rows():
            share = f"{100 * term / value:.1f} %" if 0 < value < np.inf else ""
            yield label, f"{term:.6g}", share

    def __str__(self) -> str:
        if isinstance(self.value, jax.core.Tracer) or np.ndim(self.value):
            return f"{self.title}, of batch shape {np.shape(self.value)}"
        rows = [("", self.unit or "value", "share"), *self._shares()]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [
            f"{label:<{widths[0]}}  {value:>{widths[1]}}  {share:>{widths[2]}}".rstrip()
            for label, value, share in rows
        ]
        head = f"{self.title}: {float(self.value):.6g} {self.unit}".rstrip()
        return "\n".join([head, *lines, *_notes(self.mismatch)])

    def __rich__(self) -> Any:
        from rich.table import Table

        table = Table(title=f"{self.title}: {float(self.value):.6g} {self.unit}".rstrip())
        table.add_column("")
        for column in (self.unit or "value", "share"):
            table.add_column(column, justify="right")
        for row in self._shares():
            table.add_row(*row)
        table.caption = "\n".join(_notes(self.mismatch)) or None
        return table


def _notes(mismatch: Any, name: str = "") -> Iterator[str]:
    if isinstance(mismatch, dict):
        for part, inner in mismatch.items():
            yield from _notes(inner, f"{name}{part}: ")
    elif mismatch is not None and np.any(mismatch.found):
        yield f"{name}{mismatch}"
