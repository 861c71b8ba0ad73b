"""The last batch axis of an operand, in every array that has it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from .base import AbstractOperand
from .independent import Independent
from .mixture import Mixture


def map_batch_axis(operand: Any, fn: Callable[[Any, int], Any], inner: int = 0) -> Any:
    """`fn(array, axis)` of each array with that axis (counted from the end); others are shared.

    `inner` axes at the end of the operand's batch belong to something else.
    """
    inner += operand.ndims if isinstance(operand, Independent) else 0

    def mapped(value: Any, f: dataclasses.Field) -> Any:
        if value is None:
            return None
        if isinstance(value, AbstractOperand):
            is_components = isinstance(operand, Mixture) and f.name == "components"
            return map_batch_axis(value, fn, inner + is_components)
        if isinstance(value, tuple):
            return tuple(mapped(v, f) for v in value)
        if isinstance(value, dict):
            return {name: mapped(v, f) for name, v in value.items()}
        axis = f.metadata.get("event_ndim", 0) + inner + 1
        return value if jnp.ndim(value) < axis else fn(jnp.asarray(value), -axis)

    fields = [f for f in dataclasses.fields(operand) if not f.metadata.get("static", False)]
    return dataclasses.replace(
        operand, **{f.name: mapped(getattr(operand, f.name), f) for f in fields}
    )
