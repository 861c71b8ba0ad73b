"""The verb: what a divergence is made of."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from .._api import in_base
from .._errors import NoDecompositionError
from .._estimator.exact import exact
from .._functional.base import AbstractDecomposable, AbstractFunctional
from .._functional.kl import KL
from .._operand.align import align, check_batches
from .._operand.convert import as_operands
from .._operand.discrete import AbstractDiscrete, Labels
from .._operand.independent import Independent
from .._operand.log_normal import AbstractNormalImage
from .._operand.low_rank_normal import LowRankMultivariateNormal
from .._operand.product import Product
from .._operand.tags import probs
from .._operand.transformed import Transformed
from .explanation import Explanation
from .mismatch import mismatch_of, mismatch_of_pair, with_batch
from .normals import Terms, terms_of_normals

_UNITS = {None: "nats", 2: "bits", 10: "hartleys", math.e: "nats"}


def explain(
    functional: AbstractFunctional,
    p: Any,
    q: Any,
    *,
    names: Sequence[str] | None = None,
    base: float | None = None,
) -> Explanation:
    r"""$D(P, Q)$ as the sum of its parts, with the outcomes of P that Q lacks.

    - Over classes, for every divergence that is a sum over them: `class`, the contribution of each.
      For KL it is $p \log(p/q) - p + q \ge 0$, which sums to the same as $p \log(p/q)$.
    - KL of normals (`Normal`, `Independent`, `MultivariateNormal`, and their images such as
      `LogNormal`): `mean`, `scale` and `correlation`, never negative. `mean` is
      $\frac12 (\mu_p - \mu_q)^T \Sigma_q^{-1} (\mu_p - \mu_q)$, what the best shift of Q saves;
      `scale` what then the best rescaling of Q's coordinates saves; `correlation` what is left: 0
      only where both have the same correlations. Where Q is a product (`Independent`) the first
      two are given for each coordinate, their sums are KL of the marginals, and `correlation` is
      the total correlation of P.
    - Of products (dicts), for what is additive, such as KL or Renyi: each part, by its name; of
      `Independent`: `coordinate`.
    - KL of a joint table from a product: `marginal`, the KL of each marginal of P from that part of
      Q, and `dependence`, the total correlation of P. P is over classes, the cells of the table,
      whose axes are the parts of Q in alphabetical order; the last one varies fastest.

    Args:
        functional: what is measured.
        p: the first argument; its batch axes broadcast with those of `q`.
        q: the second argument.
        names: of the classes, or of the coordinates.
        base: unit of a logarithmic functional: None for nats, 2 for bits, 10 for hartleys.

    Returns:
        An `Explanation`, per example. Its arrays jit and differentiate; table and figure do not.

    Raises:
        NoDecompositionError: none is known for this functional of these operands.
        TypeError: an operand is not tagged, or `base` was given to a functional without a unit.
        ValueError: `names` are not as many as there are classes or coordinates.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([0.5, 0.5, 0.0]), jd.probs([0.25, 0.25, 0.5])
        >>> print(jd.explain(jd.KL(), p, q, names=("cat", "dog", "cow"), base=2))
        KL between Probs and Probs: 1 bits
                       bits   share
        class cat  0.139326  13.9 %
        class dog  0.139326  13.9 %
        class cow  0.721348  72.1 %
        >>> p, q = {"x": jd.Normal(1.0, 1.0)}, {"x": jd.Normal(0.0, 2.0)}
        >>> parts = jd.explain(jd.KL(), p["x"], q["x"]).terms
        >>> print(f"{parts['mean']:.4f} + {parts['scale']:.4f} = {jd.kl(p, q):.4f}")
        0.1250 + 0.3181 = 0.4431
    """
    p, q = as_operands(p, q)
    title = f"{type(functional).__name__} between {type(p).__name__} and {type(q).__name__}"
    if base is not None and not functional.logarithmic:
        raise TypeError(
            f"{type(functional).__name__} has no unit: `base` applies to logarithmic functionals."
        )
    if _is_table(functional, p, q):
        terms, mismatch = _of_table(p, q)
        value = jnp.sum(terms["marginal"], -1) + terms["dependence"]
        names = q.names if names is None else names
    else:
        found = _terms(functional, p, q)
        if found is None:
            raise NoDecompositionError(f"No decomposition of {title} is known.\n{_KNOWN}")
        terms, value, mismatch = found, exact(functional, p, q), mismatch_of(p, q)
    mismatch = with_batch(mismatch, value.shape)
    terms = {name: _with_batch(term, value) for name, term in terms.items()}
    _check_names(names, value, terms)
    unit = _UNITS.get(base, f"log base {base}") if functional.logarithmic else ""
    terms = {name: in_base(term, base) for name, term in terms.items()}
    names = None if names is None else tuple(names)
    value = in_base(value, base)
    return Explanation(value, terms, mismatch, tuple(terms), names, title, unit)


_KNOWN = (
    "There is one of every divergence that is a sum over classes, of KL between normals (and their "
    "images), of what is additive (KL, Jeffreys, Renyi, ...) between products and `Independent`, "
    "and of KL of a joint table of classes from a product. Where P has outcomes that Q has not, "
    "`support_mismatch` says so of any two."
)


def _terms(functional: AbstractFunctional, p: Any, q: Any) -> Any:
    """By name; None where no parts are known."""
    if isinstance(p, Product) or isinstance(q, Product):
        if not isinstance(p, Product) or not functional.additive:
            return None
        p.check_names("q", q)
        return {name: exact(functional, p.parts[name], q.parts[name]) for name in p.names}
    if isinstance(p, AbstractDiscrete) and isinstance(q, AbstractDiscrete):
        check_batches(p, q)
        known = isinstance(functional, AbstractDecomposable)
        return {"class": functional.nodes(align(p, q))} if known else None
    if isinstance(p, Transformed | AbstractNormalImage):
        return p.reduce(_terms, functional, p, q)
    p, q = (d.full() if isinstance(d, LowRankMultivariateNormal) else d for d in (p, q))
    terms = terms_of_normals(p, q) if isinstance(functional, KL) else None
    if terms is not None:
        return terms
    if not (functional.additive and isinstance(p, Independent) and isinstance(q, Independent)):
        return None
    values = exact(functional, p.base, q.base)
    batch = jnp.broadcast_shapes(p.base.batch_shape, q.base.batch_shape)
    values = jnp.broadcast_to(values, batch)
    return {"coordinate": values.reshape(*batch[: len(batch) - p.ndims], -1)}


def _is_table(functional: AbstractFunctional, p: Any, q: Any) -> bool:
    if not isinstance(functional, KL) or not isinstance(p, AbstractDiscrete) or not p.normalized:
        return False
    return isinstance(q, Product) and all(
        isinstance(part, AbstractDiscrete) and part.num_outcomes is not None
        for part in q.parts.values()
    )


def _of_table(p: AbstractDiscrete, q: Product) -> tuple[Terms, Any]:
    parts = [q.parts[name] for name in q.names]
    shape = [part.num_outcomes or 0 for part in parts]
    mass = p.mass(math.prod(shape))
    if mass.shape[-1] != math.prod(shape):
        raise ValueError(
            f"explain: p has {mass.shape[-1]} classes and the table of q {math.prod(shape)} cells: "
            f"{dict(zip(q.names, shape, strict=True))}."
        )
    batch, axes = mass.shape[:-1], range(len(shape))
    table = mass.reshape(*batch, *shape)
    marginals = [jnp.sum(table, [len(batch) + j for j in axes if j != i]) for i in axes]
    each = [exact(KL(), probs(m), part) for m, part in zip(marginals, parts, strict=True)]
    marginal = jnp.stack(jnp.broadcast_arrays(*each), -1)
    dependence = exact(KL(), probs(mass), probs(_outer(marginals)))
    if isinstance(p, Labels):
        padding = p.ignored()
        marginal = jnp.where(padding[..., None], 0.0, marginal)
        dependence = jnp.where(padding, 0.0, dependence)
    terms = {"marginal": marginal, "dependence": dependence}
    return terms, mismatch_of_pair(align(p, probs(_outer([d.mass(None) for d in parts]))))


def _outer(masses: list[Array]) -> Array:
    """The products, of all on one axis; the last varies fastest."""
    cells = masses[0]
    for m in masses[1:]:
        both = cells[..., :, None] * m[..., None, :]
        cells = both.reshape(*both.shape[:-2], -1)
    return cells


def _with_batch(term: Array, value: Array) -> Array:
    """A term with all of the batch axes, also those on which it does not depend."""
    own = term.shape[value.ndim :]
    return jnp.broadcast_to(term, (*value.shape, *own))


def _check_names(names: Sequence[str] | None, value: Array, terms: Terms) -> None:
    sizes = {term.shape[-1] for term in terms.values() if term.ndim > value.ndim}
    if names is not None and {len(names)} != sizes:
        wanted = f"{sizes.pop()} classes or coordinates" if sizes else "no classes or coordinates"
        raise ValueError(f"explain: {len(names)} names were given for {wanted}.")
