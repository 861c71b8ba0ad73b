"""The posteriors, by name, with their data."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import jaxdiv as jd
from jaxdiv._data import old_faithful

from . import densities as of

FOLDER = Path(__file__).parent


class Case(NamedTuple):
    """A posterior; where it is hard to sample, an equivalent one, and its parameters from those."""

    name: str
    posterior: jd.Posterior
    easier: jd.Posterior | None = None
    back: Callable[[Any], Any] = lambda params: params


@functools.cache
def _data() -> dict[str, dict[str, Any]]:
    return json.loads((FOLDER / "data.json").read_text())


def _table(name: str) -> dict[str, np.ndarray]:
    return {k: np.asarray(v, float) for k, v in _data()[name].items() if k != "source"}


def _columns(*columns: Any) -> Any:
    """A column of ones and the given ones, raw."""
    return jnp.stack(jnp.broadcast_arrays(jnp.ones(len(columns[0])), *map(jnp.asarray, columns)), 1)


def _regression(density: Any, columns: Any, y: Any, widths: Any, **more: Any) -> jd.Posterior:
    parameters = {"beta": jd.Real(columns.shape[1]), **more}
    return jd.Posterior(density, parameters, (columns, jnp.asarray(y), jnp.asarray(widths, float)))


def _longley() -> Case:
    d = _table("longley")
    columns = _columns(d["gnp"], d["unemployed"], d["armed"])
    widths = (1e6, 10.0, 100.0, 100.0)
    return Case(
        "longley", _regression(of.linear, columns, d["employed"], widths, sigma=jd.Positive())
    )


def _stackloss() -> Case:
    d = _table("stackloss")
    columns = _columns(d["air"], d["water"], d["acid"])
    more = {"sigma": jd.Positive(), "df": jd.Interval(1.0, np.inf)}
    return Case(
        "stackloss", _regression(of.robust, columns, d["loss"], (200.0, 10.0, 10.0, 10.0), **more)
    )


def _birthwt() -> Case:
    d = _table("birthwt")
    race = [(d["race"] == k).astype(float) for k in (2, 3)]
    rest = (d["smoke"], d["hypertension"], d["irritability"])
    columns = _columns(d["age"], d["weight"], *race, *rest)
    widths = (10.0, 1.0, 1.0, *[2.5] * 5)
    return Case("birthwt", _regression(of.logistic, columns, d["low"], widths))


def _birthwt_probit() -> Case:
    d = _table("birthwt")
    columns = _columns(d["age"], d["weight"], d["smoke"])
    return Case("birthwt_probit", _regression(of.probit, columns, d["low"], (10.0, 1.0, 1.0, 2.5)))


def _executions() -> Case:
    d = _table("executions")
    columns = _columns(d["income"], d["poverty"], d["crime"], d["south"])
    widths = (50.0, 0.01, 1.0, 0.1, 5.0)
    return Case("executions", _regression(of.poisson, columns, d["executions"], widths))


def _quine() -> Case:
    d = _table("quine")
    ages = [(d["age"] == k).astype(float) for k in (1, 2, 3)]
    columns = _columns(d["aboriginal"], d["male"], *ages, d["slow"])
    widths = (10.0, *[2.5] * 6)
    more = {"concentration": jd.Positive()}
    return Case("quine", _regression(of.negative_binomial, columns, d["days"], widths, **more))


def _election() -> Case:
    d = _table("election")
    columns = jnp.stack([jnp.asarray(d[k]) for k in ("age", "education", "income")], 1)
    cuts = jd.Ordered(6)
    return Case("election", _regression(of.ordinal, columns, d["party"], [2.0] * 3, cuts=cuts))


def _eight_schools(centred: bool) -> Case:
    y = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    errors = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    hyper = {"mu": jd.Real(), "tau": jd.Positive()}
    data = (y, errors)
    apart = jd.Posterior(of.effects_noncentred, {**hyper, "z": jd.Real(8)}, data)
    if not centred:
        return Case("eight_schools_noncentred", apart)
    posterior = jd.Posterior(of.effects_centred, {**hyper, "effects": jd.Real(8)}, data)
    return Case("eight_schools_centred", posterior, apart, _effects)


def _effects(params: Any) -> Any:
    mu, tau, z = (params[k] for k in ("mu", "tau", "z"))
    return {"effects": mu + tau * z, "mu": mu, "tau": tau}


def _classes(centred: bool) -> Case:
    d = _table("schools")
    data = tuple(jnp.asarray(d[k]) for k in ("score", "ses", "group"))
    hyper = {"mu": jd.Real(), "slope": jd.Real(), "sigma": jd.Positive(), "tau": jd.Positive()}
    apart = jd.Posterior(of.intercepts_noncentred, {**hyper, "z": jd.Real(40)}, data)
    if not centred:
        return Case("classes_noncentred", apart)
    posterior = jd.Posterior(of.intercepts_centred, {**hyper, "alpha": jd.Real(40)}, data)
    return Case("classes_centred", posterior, apart, _intercepts)


def _intercepts(params: Any) -> Any:
    rest = {k: x for k, x in params.items() if k != "z"}
    return {**rest, "alpha": params["mu"] + params["tau"] * params["z"]}


def _lynx() -> Case:
    y = jnp.log10(jnp.asarray(_table("lynx")["count"]))
    partial = jd.Interval(-1.0, 1.0, 2)
    parameters = {"mean": jd.Real(), "partial": partial, "sigma": jd.Positive()}
    return Case("lynx", jd.Posterior(of.autoregression, parameters, (y,)))


def _garch() -> Case:
    """Simulated: 500 steps of shares 0.15, 0.75, 0.1, level 1.2 and mean 0.1."""
    shocks, variance, y = np.random.default_rng(0).standard_normal(500), 1.2**2, []
    for shock in shocks:
        y.append(np.sqrt(variance) * shock)
        variance = 0.1 * 1.2**2 + 0.75 * variance + 0.15 * y[-1] ** 2
    parameters = {"mean": jd.Real(), "level": jd.Positive(), "shares": jd.Simplex(3)}
    return Case("garch", jd.Posterior(of.garch, parameters, (jnp.array(y) + 0.1,)))


def _nile(states: bool) -> Case:
    y = jnp.asarray(_table("nile")["flow"])
    spreads = {"noise": jd.Positive(), "move": jd.Positive()}
    if states:
        moves = {**spreads, "start": jd.Real(), "z": jd.Real(len(y) - 1)}
        return Case(
            "nile_states",
            jd.Posterior(of.local_level_states, {**spreads, "walk": jd.Real(len(y))}, (y,)),
            jd.Posterior(of.local_level_moves, moves, (y,)),
            _walk,
        )
    return Case("nile", jd.Posterior(of.local_level, {**spreads, "start": jd.Real()}, (y,)))


def _walk(params: Any) -> Any:
    return {**{k: params[k] for k in ("noise", "move")}, "walk": of.walked(params)}


def _mcycle() -> Case:
    d = _table("mcycle")
    parameters = {k: jd.Positive() for k in ("amplitude", "length", "noise")}
    data = (jnp.asarray(d["time"]), jnp.asarray(d["accel"]))
    return Case("mcycle", jd.Posterior(of.gaussian_process, parameters, data))


def _faithful() -> Case:
    parameters = {"loc": jd.Ordered(2), "scale": jd.Positive(2), "weight": jd.Simplex(2)}
    data = (jnp.asarray(old_faithful().waiting),)
    return Case("faithful", jd.Posterior(of.two_normals, parameters, data))


def _hair() -> Case:
    """R. D. Snee (1974), The American Statistician 28, 9-12: black, brown, red, blond."""
    counts = jnp.array([108.0, 286.0, 71.0, 127.0])
    return Case("hair", jd.Posterior(of.multinomial, {"shares": jd.Simplex(4)}, (counts,)))


def _caithness() -> Case:
    """R. A. Fisher (1940), Annals of Eugenics 10, 422-429: colours of hair, for each of eyes."""
    rows = [[326.0, 38.0, 241.0, 110.0, 3.0], [688.0, 116.0, 584.0, 188.0, 4.0]]
    rows += [[343.0, 84.0, 909.0, 412.0, 26.0], [98.0, 48.0, 403.0, 681.0, 85.0]]
    parameters = {"concentration": jd.Positive(5)}
    data = (jnp.array(rows),)
    return Case("caithness", jd.Posterior(of.dirichlet_multinomial, parameters, data))


def _iris() -> Case:
    y = jnp.stack([jnp.asarray(x) for x in _table("iris").values()], 1)
    parameters = {"loc": jd.Real(4), "scale": jd.Positive(4), "tril": jd.CholeskyCorrelation(4)}
    return Case("iris", jd.Posterior(of.correlated, parameters, (y,)))


def cases() -> dict[str, Case]:
    """All of them, by name. In the default floating type; meant for double precision."""
    made = (
        *(_longley(), _stackloss(), _birthwt(), _birthwt_probit(), _executions(), _quine()),
        *(_eight_schools(True), _eight_schools(False), _classes(True), _classes(False)),
        *(_lynx(), _garch(), _nile(False), _nile(True), _mcycle(), _election()),
        *(_faithful(), _hair(), _caithness(), _iris()),
    )
    return {case.name: case for case in made}
