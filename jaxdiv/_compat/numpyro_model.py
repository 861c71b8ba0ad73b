"""NumPyro models as posteriors. NumPyro is not imported here: who has a model has done so."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._operand.posterior import Posterior
from .._operand.repeated import Repeated
from .._operand.space import (
    AbstractSpace,
    Cholesky,
    CholeskyCorrelation,
    Interval,
    Ordered,
    Positive,
    PositiveOrdered,
    Real,
    Simplex,
)


def as_posterior(model: Callable[..., Any], *args: Any, **kwargs: Any) -> Posterior:
    r"""The posterior of a NumPyro model given its data, over its latent sites by their names.

    A site becomes a parameter in the space of its support; what is observed, by `obs=` or by a
    handler, enters the density, which is that of `numpyro.infer.util.log_density`.

    Args:
        model: a NumPyro model. It is static: hoist it.
        *args: what it is called with. Arrays are traced, so that other data of the same shapes, by
            another call, does not compile again; anything else is static.
        **kwargs: likewise.

    Returns:
        A `Posterior` over a dict of the sites.

    Raises:
        ModuleNotFoundError: where NumPyro has not been imported.
        TypeError: for a latent site that is discrete, whose support no space here serves or depends
            on other sites, and for `numpyro.param`; each by its name.
        ValueError: for a model without latent sites, or a site whose entries have different ends.

    Example:
        >>> import jaxdiv as jd
        >>> jd.as_posterior(lambda: None)
        Traceback (most recent call last):
        ModuleNotFoundError: as_posterior: ...
        >>> def example():
        ...     import jax.numpy as jnp, numpyro, numpyro.distributions as dist
        ...     def model(y):
        ...         scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        ...         numpyro.sample("y", dist.Normal(0.0, scale), obs=y)
        ...     posterior = jd.as_posterior(model, jnp.array([0.3, -1.2]))
        ...     return jd.fit(jd.reverse_kl(posterior), key=jax.random.key(0))
    """
    numpyro = sys.modules.get("numpyro")
    if numpyro is None:
        raise ModuleNotFoundError(
            "as_posterior: a NumPyro model needs NumPyro, and it has not been imported."
        )
    leaves, structure = jax.tree.flatten((args, kwargs))
    # With one trace, ends that another site decides would be taken for constants.
    spaces, again = (_spaces(numpyro, seed, model, args, kwargs) for seed in (0, 1))
    for name in spaces:
        if spaces[name] != again[name]:
            raise TypeError(
                f"as_posterior: the support of {name!r} depends on other latent sites: sample it "
                "from a distribution of fixed support, and transform it."
            )
    if not spaces:
        raise ValueError("as_posterior: the model has no latent sites.")
    static = tuple(_DATA if _is_array(x) else x for x in leaves)
    function = _LogDensity(numpyro.infer.util.log_density, model, static, structure)
    return Posterior(function, spaces, tuple(x for x in leaves if _is_array(x)))


_DATA = "an array, which is traced"


@dataclasses.dataclass(frozen=True)
class _LogDensity:
    """Equal for equal models and static arguments, so that it compiles once."""

    log_density: Callable[..., Any]
    model: Callable[..., Any]
    static: tuple[Any, ...]
    structure: Any

    def __call__(self, params: Any, *data: Any) -> Any:
        arrays = iter(data)
        leaves = [next(arrays) if x is _DATA else x for x in self.static]
        args, kwargs = self.structure.unflatten(leaves)
        return self.log_density(self.model, args, kwargs, params)[0]


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray)


def _spaces(numpyro: Any, seed: int, model: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """The spaces of the latent sites, as one run of the model has them."""
    run = numpyro.handlers.seed(model, seed)
    run = numpyro.handlers.substitute(run, substitute_fn=numpyro.infer.init_to_uniform)
    spaces = {}
    for name, site in numpyro.handlers.trace(run).get_trace(*args, **kwargs).items():
        if site["type"] == "param":
            raise TypeError(f"as_posterior: {name!r} is a `numpyro.param`: sample it, or fix it.")
        if site["type"] == "sample" and not site["is_observed"]:
            if site["fn"].is_discrete:
                raise TypeError(f"as_posterior: {name!r} is discrete: sum it out of the model.")
            spaces[name] = _space(name, site["fn"].support, np.shape(site["value"]))
    return spaces


def _space(name: str, support: Any, shape: tuple[int, ...]) -> AbstractSpace:
    while type(support).__name__ == "_IndependentConstraint":
        support = support.base_constraint
    match type(support).__name__:
        case "_Real":
            return Real(shape)
        case "_Positive" | "_Nonnegative" | "_SoftplusPositive":
            return Positive(shape)
        case "_GreaterThan" | "_GreaterThanEq":
            return Interval(_number(name, support.lower_bound), np.inf, shape)
        case "_LessThan" | "_LessThanEq":
            return Interval(-np.inf, _number(name, support.upper_bound), shape)
        case "_Interval" | "_OpenInterval" | "_UnitInterval":
            low, high = _number(name, support.lower_bound), _number(name, support.upper_bound)
            return Interval(low, high, shape)
        case "_Simplex":
            return _repeated(Simplex(shape[-1]), shape[:-1])
        case "_OrderedVector":
            return _repeated(Ordered(shape[-1]), shape[:-1])
        case "_PositiveOrderedVector":
            return _repeated(PositiveOrdered(shape[-1]), shape[:-1])
        case "_CorrCholesky":
            return _repeated(CholeskyCorrelation(shape[-1]), shape[:-2])
        case "_LowerCholesky" | "_ScaledUnitLowerCholesky" | "_SoftplusLowerCholesky":
            return _repeated(Cholesky(shape[-1]), shape[:-2])
    raise TypeError(
        f"as_posterior: {name!r} has support {support}, for which there is no space: use a "
        "distribution of a factor (LKJCholesky for LKJ), or reparameterise."
    )


def _repeated(space: AbstractSpace, lead: tuple[int, ...]) -> AbstractSpace:
    return Repeated(space, lead) if lead else space


def _number(name: str, end: Any) -> float:
    ends = np.unique(np.asarray(end))
    if ends.size != 1:
        raise ValueError(
            f"as_posterior: the support of {name!r} has ends that differ, {ends.tolist()}: sample "
            "from one interval, and transform."
        )
    return float(ends[0])
