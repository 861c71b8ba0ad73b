"""The reference: categorical quantities in 140 decimal digits, from nothing of the package.

Inputs are converted exactly, so that a float is the number that it is. 140 digits leave 40 after
the cancellation in the textbook sums at a logit gap of 200 and a perturbation of 1e-6.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import mpmath as mp
import numpy as np

DIGITS = 140
ZERO = mp.mpf(0)


def exact(x):
    """The entries of a float array, as they are (or of one of exact numbers)."""
    return [v if isinstance(v, mp.mpf) else mp.mpf(float(v)) for v in np.asarray(x).ravel()]


def dot(xs, ys):
    """The sum of products; a zero silences an infinity."""
    return mp.fsum(x * y for x, y in zip(xs, ys, strict=True) if x != 0 and y != 0)


class Softmax:
    """A row of logits; -inf is an outcome of probability 0."""

    def __init__(self, z):
        with mp.workdps(DIGITS):
            self.z = exact(z)
            live = [v for v in self.z if v != -mp.inf]
            self.empty = not live
            top = max(live) if live else ZERO
            weights = [ZERO if v == -mp.inf else mp.exp(v - top) for v in self.z]
            self.log_sum = top + mp.log(mp.fsum(weights)) if live else ZERO
            total = mp.fsum(weights) if live else mp.mpf(1)
            self.p = [w / total for w in weights]
            self.log_p = [v - self.log_sum for v in self.z]

    def tangent(self, v):
        """The change of the probabilities along v."""
        mean = dot(self.p, v)
        return [p * (x - mean) for p, x in zip(self.p, v, strict=True)]


@lru_cache(maxsize=8)
def _softmax(entries):
    return Softmax(entries)


def softmax(z):
    """The same row is wanted by several references in turn."""
    return _softmax(tuple(float(v) for v in z))


@dataclass
class Pair:
    """KL (or cross-entropy) of two rows of logits: value, gradients, second derivatives.

    Where the value is infinite, the derivatives in `a` are those of the outcomes with q > 0.
    """

    a: np.ndarray
    b: np.ndarray
    linear_in_r: bool = True

    def __post_init__(self):
        with mp.workdps(DIGITS):
            self.p, self.q = softmax(self.a), softmax(self.b)
            pairs = zip(self.p.p, self.q.p, strict=True)
            self.used = [p > 0 and q > 0 for p, q in pairs]
            self.lost = any(p > 0 and q == 0 for p, q in zip(self.p.p, self.q.p, strict=True))
            log_p = self.p.log_p if self.linear_in_r else [ZERO] * len(self.used)
            both = zip(log_p, self.q.log_p, self.used, strict=True)
            self.r = [x - y if used else ZERO for x, y, used in both]
            self.weights = [p if u else ZERO for p, u in zip(self.p.p, self.used, strict=True)]
            self.mass = mp.fsum(self.weights) or mp.mpf(1)
            self.mean = dot(self.weights, self.r) / self.mass

    @property
    def value(self):
        return mp.inf if self.lost else self.mean

    @cached_property
    def gradient(self):
        with mp.workdps(DIGITS):
            in_a = [w * (r - self.mean) for w, r in zip(self.weights, self.r, strict=True)]
            if self.p.empty:
                return in_a, [ZERO] * len(in_a)
            return in_a, [q - p for p, q in zip(self.p.p, self.q.p, strict=True)]

    def second(self, v):
        """The blocks (aa, ab, bb, ba) of the Hessian, times v."""
        with mp.workdps(DIGITS):
            v = exact(v)
            dp, dq = self.p.tangent(v), self.q.tangent(v)
            mean_p, mean_q = dot(self.p.p, v), dot(self.q.p, v)
            scale = 1 if self.linear_in_r else 0
            aa = self._slope(
                [d if u else ZERO for d, u in zip(dp, self.used, strict=True)],
                [scale * (x - mean_p) for x in v],
            )
            ab = self._slope([ZERO] * len(v), [mean_q - x for x in v])
            none = [ZERO] * len(v)
            return aa, ab, none if self.p.empty else dq, [-d for d in dp]

    def _slope(self, dw, dr):
        dmean = (dot(dw, self.r) + dot(self.weights, dr) - self.mean * mp.fsum(dw)) / self.mass
        rows = zip(self.weights, self.r, dw, dr, strict=True)
        return [d * (r - self.mean) + w * (e - dmean) for w, r, d, e in rows]


class Entropy:
    """The entropy of a row of logits."""

    def __init__(self, z):
        with mp.workdps(DIGITS):
            self.p = softmax(z)
            self.x = [ZERO if lp == -mp.inf else lp for lp in self.p.log_p]
            self.value = -dot(self.p.p, self.x)

    @cached_property
    def gradient(self):
        with mp.workdps(DIGITS):
            return ([-p * (x + self.value) for p, x in zip(self.p.p, self.x, strict=True)],)

    def second(self, v):
        with mp.workdps(DIGITS):
            v = exact(v)
            dp, mean = self.p.tangent(v), dot(self.p.p, v)
            change = dot(self.gradient[0], v)
            rows = zip(self.p.p, self.x, dp, v, strict=True)
            return ([-d * (x + self.value) - p * (e - mean + change) for p, x, d, e in rows],)


class LabelLoss:
    """-log q_y."""

    def __init__(self, y, z):
        with mp.workdps(DIGITS):
            self.y, self.q = int(y), softmax(z)
            self.value = -self.q.log_p[self.y]

    @cached_property
    def gradient(self):
        with mp.workdps(DIGITS):
            return ([q - (i == self.y) for i, q in enumerate(self.q.p)],)

    def second(self, v):
        with mp.workdps(DIGITS):
            return (self.q.tangent(exact(v)),)


def floor(dtype, size):
    """What counts as zero: probabilities below the smallest normal number are flushed to 0.

    A result may lose `size` of them, each multiplied by a log-ratio of at most some hundreds. In
    float64 that is less than the reference's own rounding error.
    """
    return max(mp.mpf(float(np.finfo(dtype).tiny)) * 1000 * size, mp.mpf(10) ** (10 - DIGITS))


def value_error(got, want, dtype, size=1):
    """The relative error in ulp (2^-23 in float32), beyond what was flushed to zero."""
    return norm_error([got], [want], dtype, size)


def norm_error(got, want, dtype, size=None):
    """The error of a vector, relative to its largest entry, in ulp, beyond what was flushed."""
    with mp.workdps(DIGITS):
        got = exact(got)
        if mp.inf in got or mp.inf in want:
            return 0.0 if got == want else np.inf
        largest = max(abs(w) for w in want)
        error = max(abs(g - w) for g, w in zip(got, want, strict=True))
        error = max(ZERO, error - floor(dtype, size or len(want)))
        if error == 0:
            return 0.0
        return float(error / largest / mp.mpf(float(np.finfo(dtype).eps))) if largest else np.inf
