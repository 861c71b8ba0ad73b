"""The definitions, in mpmath, of lists of masses: from nothing of the package."""

import mpmath as mp

from .oracle import ZERO

INF = mp.inf

# The term that an outcome with masses p, q contributes. It is the generalised one
# (Bregman), equal in the sum to the textbook's where both are normalised.


def summed(term):
    return lambda *masses: mp.fsum(term(*m) for m in zip(*masses, strict=True))


def x_log(x, ratio):
    return x * mp.log(ratio) if x else ZERO


def kl_term(p, q):
    if p and not q:
        return INF
    return x_log(p, p / q if q else 1) - p + q


def jeffreys_term(p, q):
    if (p == 0) != (q == 0):
        return INF
    return (p - q) * mp.log(p / q) if p else ZERO


def js_term(beta):
    def term(p, q):
        m = beta * p + (1 - beta) * q
        if not m:
            return ZERO
        return beta * x_log(p, p / m) + (1 - beta) * x_log(q, q / m)

    return term


def cross_entropy_term(p, q):
    return INF if p and not q else -p * (mp.log(q) if q else 0)


def triangular_term(p, q):
    return (p - q) ** 2 / (p + q) if p or q else ZERO


def chi_squared_term(p, q):
    if not q:
        return INF if p else ZERO
    return (p - q) ** 2 / q


def renyi(order):
    def reference(p, q):
        both = list(zip(p, q, strict=True))
        if order == INF:
            return max(mp.log(x / y) if y else INF for x, y in both if x)
        if order == 0:
            kept = 1 - mp.fsum(y for x, y in both if not x)
            return -mp.log(kept) if any(x and y for x, y in both) else INF
        if order == 1:
            return summed(kl_term)(p, q)
        if order > 1 and any(x and not y for x, y in zip(p, q, strict=True)):
            return INF
        pairs = [(x, y) for x, y in zip(p, q, strict=True) if x and y]
        affinity = mp.fsum(x**order * y ** (1 - order) for x, y in pairs)
        if not affinity:
            return INF
        # Near equality the masses' own rounding would count: the generalised form leaves it out.
        if abs(mp.log(affinity)) < 0.4:
            affinity += 1 - (1 - order) * mp.fsum(q) - order * mp.fsum(p)
        return mp.log(affinity) / (order - 1)

    return reference


def power_term(order):
    """(a p + (1 - a) q - p^a q^(1 - a)) / a (1 - a), and its limits."""

    def term(p, q):
        if order == 1 or order == 0:
            return kl_term(p, q) if order == 1 else kl_term(q, p)
        if p and q:
            mean = order * p + (1 - order) * q
            return (mean - p**order * q ** (1 - order)) / (order * (1 - order))
        if p:
            return p / (1 - order) if order < 1 else INF
        return (q / order if order > 0 else INF) if q else ZERO

    return term


def chernoff(p, q):
    """The largest -log of the affinity, by Newton's method and bisection on its slope."""
    both = [(x, y) for x, y in zip(p, q, strict=True) if x and y]
    sums = mp.fsum(p), mp.fsum(q)
    if not both:
        return INF

    def affinity(a):
        # The generalised form, in which the masses' own rounding is left out.
        return mp.fsum(x**a * y ** (1 - a) for x, y in both) + 1 - a * sums[0] - (1 - a) * sums[1]

    def slope(a):
        powers = [(x**a * y ** (1 - a), mp.log(x / y)) for x, y in both]
        first = mp.fsum(w * r for w, r in powers) + sums[1] - sums[0]
        return first, mp.fsum(w * r * r for w, r in powers)

    low, high, a = ZERO, mp.mpf(1), mp.mpf(1) / 2
    if slope(low)[0] >= 0:
        return -mp.log(affinity(low))
    if slope(high)[0] <= 0:
        return -mp.log(affinity(high))
    for i in range(100):
        value, rise = slope(a)
        low, high = (a, high) if value < 0 else (low, a)
        to = min(max(a - value / rise, low), high) if i % 2 or i > 40 else (low + high) / 2
        if abs(to - a) < mp.mpf(10) ** (-mp.mp.dps // 2):
            return -mp.log(affinity(to))
        a = to
    raise AssertionError("no maximum")


def information_variance(p, q):
    if any(x and not y for x, y in zip(p, q, strict=True)):
        return INF
    pairs = [(x, mp.log(x / y)) for x, y in zip(p, q, strict=True) if x]
    mean = mp.fsum(x * r for x, r in pairs) / (mp.fsum(p) or 1)
    return mp.fsum(x * (r - mean) ** 2 for x, r in pairs)


def tsallis_entropy(order):
    return summed(lambda p: (p - p**order) / (order - 1) if p else ZERO)


def renyi_entropy(order):
    def reference(p):
        if order == INF:
            return -mp.log(max(p)) if any(p) else ZERO
        if order == 0:
            return mp.log(max(sum(1 for x in p if x), 1))
        total = mp.fsum(x**order for x in p if x)
        if abs(mp.log(total or 1)) < 0.4:
            total = 1 - (order - 1) * tsallis_entropy(order)(p)
        return mp.log(total or 1) / (1 - order)

    return reference
