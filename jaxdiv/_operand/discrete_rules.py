"""Closed forms of single functionals of classes, and what measures refuse."""

import itertools

import jax.numpy as jnp
from jax import lax

from .._estimator.rules import rule
from .._functional.base import Pair
from .._functional.chernoff import ChernoffInformation
from .._functional.renyi_entropy import RenyiEntropy, TsallisEntropy
from .._functional.variance import InformationVariance, Varentropy, varentropy_of_masses
from .align import align_one
from .bernoulli import Bernoulli
from .discrete import AbstractDiscrete, Labels, Logits, Masses, Probs


@rule(Varentropy, Logits)
def _(functional, p):
    # Of the logits themselves: without the normaliser nearly equal ones keep their digits.
    mass, z = p.mass(None), p.scores()
    zero = z == -jnp.inf
    held = Pair(z, z, mass, mass, jnp.zeros_like(mass), axis_name=p.axis_name)
    top = held.maximum(z)
    top = lax.stop_gradient(jnp.where(jnp.isinf(top), 0.0, top))[..., None]
    z = jnp.where(zero, -jnp.inf, jnp.where(zero, 0.0, z) - top)
    return functional.integrate(Pair(z, z, mass, mass, held.r, axis_name=p.axis_name))


@rule(Varentropy, Probs)
@rule(Varentropy, Labels)
@rule(Varentropy, Bernoulli)
def _(functional, p):
    return varentropy_of_masses(align_one(p))


def _refuse(functional, *operands):
    raise TypeError(
        f"{type(functional).__name__} of `masses` is not defined: normalise them and tag them "
        "`probs`."
    )


for _kind in (RenyiEntropy, TsallisEntropy, Varentropy):
    rule(_kind, Masses)(_refuse)
for _kind in (ChernoffInformation, InformationVariance):
    for _p, _q in itertools.product((Masses, AbstractDiscrete), repeat=2):
        if Masses in (_p, _q):
            rule(_kind, _p, _q)(_refuse)
