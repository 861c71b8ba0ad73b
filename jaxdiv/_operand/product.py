"""Products of named parts: a dict of distributions is a distribution of dicts."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key, PyTree

from .._compat.convert import adopt
from .base import AbstractComposite, Shape, is_prefix_leaf
from .discrete import Masses
from .empirical import PointMass


def converted(x: Any) -> Any:
    """A dict as the product of its values, another library's distribution as an operand; anything
    else as it is.
    """
    return Product(x) if isinstance(x, dict) else adopt(x)


def _convert(parts: Any) -> Any:
    if not isinstance(parts, dict):
        return parts
    return {name: converted(part) for name, part in parts.items()}


class Product(AbstractComposite):
    r"""$p(x) = \prod_k p_k(x_k)$: independent parts with names, whose outcome is a dict.

    A dict stands for the product of its values wherever an operand is taken, so that this class
    seldom needs to be written. Both operands of a divergence have the same names. What is additive
    over independent parts (KL, entropies, cross-entropy, Renyi) is the sum of what the parts give,
    and what is a function of such a sum (squared Hellinger, chi-squared, ...) follows from it;
    anything else is an average over draws. Order of the names is that of the alphabet.

    Args:
        parts: operands by name, also over classes, observations, or dicts of them; their batch
            axes broadcast together. `masses`, whose total has a meaning, have no product here.

    Example:
        >>> import jaxdiv as jd
        >>> p = {"height": jd.Normal(1.0, 1.0), "sex": jd.probs([0.5, 0.5])}
        >>> q = {"height": jd.Normal(0.0, 1.0), "sex": jd.probs([0.25, 0.75])}
        >>> print(f"{jd.kl(p, q):.6f} {jd.squared_hellinger(p, q):.6f}")
        0.643841 0.147573
    """

    parts: dict[str, Any] = eqx.field(converter=_convert)

    def __check_init__(self):
        if is_prefix_leaf(self.parts):
            return
        if not isinstance(self.parts, dict) or not self.parts:
            raise TypeError(f"Product: parts must be a dict that is not empty, got {self.parts!r}.")
        for name, part in self.parts.items():
            if not isinstance(name, str):
                raise TypeError(f"Product: the name of a part must be a string, got {name!r}.")
            if isinstance(part, Masses):
                raise TypeError(
                    f"Product: part {name!r} is tagged `masses`: normalise it and tag it `probs`."
                )

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the alphabet, which is that of the leaves too."""
        return tuple(sorted(self.parts))

    @property
    def batch_shape(self):
        # The shape of a `PointMass` has the axes of its event too.
        shapes = {n: d.batch_shape for n, d in self.parts.items() if not isinstance(d, PointMass)}
        try:
            return jnp.broadcast_shapes(*shapes.values())
        except ValueError:
            raise ValueError(
                f"Product: the batch shapes of its parts do not broadcast: {shapes}."
            ) from None

    @property
    def event_shape(self) -> dict[str, Any]:
        """The shape of one outcome of each part."""
        return {name: self.parts[name].event_shape for name in self.names}

    @property
    def normalized(self) -> bool:
        """Whether every part is."""
        return all(part.normalized for part in self.parts.values())

    @property
    def reparameterized(self) -> bool:
        """Whether every part is."""
        return all(part.reparameterized for part in self.parts.values())

    def log_prob(self, x: dict[str, PyTree]) -> Float[Array, "..."]:
        r"""$\sum_k \log p_k(x_k)$ for a dict of outcomes, each of shape `[..., *batch, *event]`."""
        self.check_names("x", x)
        return _sum(self.parts[name].log_prob(x[name]) for name in self.names)

    def sample(self, key: Key[Array, ""], shape: Shape = ()) -> dict[str, PyTree]:
        """Independent draws, a dict of arrays of shape `[*shape, *batch, *event]`."""
        batch = self.batch_shape

        def draws(part: Any, key: Key[Array, ""]) -> Any:
            # Every element of the batch has a draw of its own, where the part lacks the axis.
            own = part.batch_shape
            x = part.sample(key, (*shape, *batch[: len(batch) - len(own)]))
            lead = len(shape) + len(batch)
            return jax.tree.map(lambda x: jnp.broadcast_to(x, (*shape, *batch, *x.shape[lead:])), x)

        keys = jr.split(key, len(self.names))
        return {n: draws(self.parts[n], k) for n, k in zip(self.names, keys, strict=True)}

    def strata(self, key: Key[Array, ""], n: int) -> tuple[Array, dict[str, PyTree]]:
        """Plain draws: one stratum of weight one."""
        draws = jax.tree.map(lambda x: x[None], self.sample(key, (n,)))
        dtype = jax.eval_shape(self.log_prob, draws).dtype
        return jnp.ones((1, *self.batch_shape), dtype), draws

    def value_checks(self):
        return []  # of each part, by its name, where it becomes an operand

    def check_names(self, word: str, other: Any) -> None:
        """Refuses what does not have the same parts."""
        if not isinstance(other, Product | dict):
            raise TypeError(
                f"a product of parts {list(self.names)} has outcomes in common only with another "
                f"product, got {type(other).__name__} for {word}: give a dict of the same names."
            )
        theirs = set(other.parts if isinstance(other, Product) else other)
        missing, more = sorted(set(self.names) - theirs), sorted(theirs - set(self.names))
        if missing or more:
            raise ValueError(
                f"the parts of both must have the same names: {word} lacks {missing} and has "
                f"{more} besides."
            )

    def reduce(self, evaluate, functional, *operands):
        for d in operands:
            self.check_names("the other operand", d)
        if not functional.additive:
            return None
        return _sum(evaluate(functional, *(d.parts[name] for d in operands)) for name in self.names)


def _sum(values: Any) -> Array:
    return functools.reduce(jnp.add, values)
