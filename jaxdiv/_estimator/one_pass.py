"""Values from one read of memory, for logits that are large."""

from typing import ClassVar

import jax.numpy as jnp

from .._functional.entropies import CrossEntropy, Entropy
from .._functional.kl import KL
from .._operand.align import kl_in_one_pass
from .._operand.discrete import Labels, Logits
from .base import AbstractEstimator, Estimate
from .exact import exact


class OnePass(AbstractEstimator):
    r"""$\mathrm{KL}(P \| Q) = E_P[a - b] - \log Z_a / Z_b$ of `logits`, which are read once.

    The value is the difference of two numbers of order one: in float32 it has few digits below
    1e-5. Its gradient is as accurate as that of the closed form, and so is the value on a CPU, and
    on a GPU without the gradient in P: there to read twice is faster. The entropy of `logits` and
    the cross-entropy of `labels` against `logits` are read once, and accurate, by the closed form,
    which serves here as well. Nothing else is served.

    Raises:
        TypeError: for other functionals or operands: leave `estimator` out.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.logits([0.0, 1.0]), jd.logits([0.0, 0.0])
        >>> print(f"{jd.kl(p, q, estimator=jd.OnePass()):.4f}")
        0.1109
    """

    deterministic: ClassVar[bool] = True

    def estimate(self, functional, operands, key):
        match (functional, *operands):
            case (KL(), Logits() as p, Logits() as q):
                value = kl_in_one_pass(p, q)
            case (Entropy(), Logits()) | (KL() | CrossEntropy(), Labels(), Logits()):
                value = exact(functional, *operands)
            case _:
                names = ", ".join(type(d).__name__ for d in operands)
                raise TypeError(
                    "OnePass serves KL and entropy of logits, and cross-entropy of labels against "
                    f"them; got {type(functional).__name__} of {names}: leave `estimator` out."
                )
        return Estimate(
            value,
            jnp.zeros_like(value),
            jnp.full_like(value, jnp.inf),
            jnp.full_like(value, jnp.nan),
        )

    def refined(self):
        return self
