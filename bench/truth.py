"""The exact answers, in extended or double precision, and the errors against them."""

from collections.abc import Callable

import numpy as np
from scipy import special

Answers = list[np.ndarray]


def _log_softmax(z: np.ndarray) -> np.ndarray:
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def kl_logits_truth(a: np.ndarray, b: np.ndarray) -> Answers:
    r"""KL(p‖q) = Σ p·(expm1(−r) + r), r = log p − log q, and its gradient in both logits."""
    log_p, log_q = _log_softmax(a), _log_softmax(b)
    p, q, r = np.exp(log_p), np.exp(log_q), log_p - log_q
    value = (p * (np.expm1(-r) + r)).sum(-1)
    return [value, p * (r - value[..., None]), q - p]


def kl_normal_truth(m1: np.ndarray, s1: np.ndarray, m2: np.ndarray, s2: np.ndarray) -> Answers:
    """KL between Normals, with t = log(s1/s2): ½(expm1(2t) − 2t + ((m1 − m2)/s2)²)."""
    t, d = np.log1p((s1 - s2) / s2), (m1 - m2) / s2
    expm1 = np.expm1(2 * t)
    return [
        (expm1 - 2 * t + d * d) / 2,
        d / s2,
        expm1 / s1,
        -d / s2,
        -(expm1 + d * d) / s2,
    ]


def _bregman(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    r"""$\log\Gamma(y) - \log\Gamma(x) - \psi(x)(y - x)$ of neighbours, as an integral."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    tau, d = (1 + nodes) / 2, y - x
    slopes = sum(
        w * (1 - t) * special.polygamma(1, x + t * d) for t, w in zip(tau, weights / 2, strict=True)
    )
    return d * d * slopes


def kl_gamma_truth(a1: np.ndarray, b1: np.ndarray, a2: np.ndarray, b2: np.ndarray) -> Answers:
    """By remainders, in double precision."""
    a, b, c, d = (x.astype(float) for x in (a1, b1, a2, b2))
    v = (d - b) / b
    return [
        _bregman(c, a) + c * (v - np.log1p(v)) + (a - c) * v,
        (a - c) * special.polygamma(1, a) + v,
        (c - a * d / b) / b,
        special.digamma(c) - special.digamma(a) - np.log1p(v),
        a / b - c / d,
    ]


def kl_dirichlet_truth(a: np.ndarray, b: np.ndarray) -> Answers:
    """As `kl_gamma_truth`."""
    a, b = a.astype(float), b.astype(float)
    s, t = a.sum(-1, keepdims=True), b.sum(-1, keepdims=True)
    return [
        (_bregman(b, a).sum(-1, keepdims=True) - _bregman(t, s))[..., 0],
        (a - b) * special.polygamma(1, a)
        + (b - a).sum(-1, keepdims=True) * special.polygamma(1, s),
        special.digamma(b) - special.digamma(a) - (special.digamma(t) - special.digamma(s)),
    ]


def labels_truth(z: np.ndarray, y: np.ndarray | None = None) -> Answers:
    """−log softmax(z)[y], or without labels the entropy of softmax(z); and the gradient in z."""
    log_p = _log_softmax(z)
    p = np.exp(log_p)
    if y is None:
        value = -(p * log_p).sum(-1)
        return [value, -p * (log_p + value[..., None])]
    y = y.astype(int)[..., None]
    gradient = p.copy()
    np.put_along_axis(gradient, y, np.take_along_axis(p, y, -1) - 1, -1)
    return [-np.take_along_axis(log_p, y, -1)[..., 0], gradient]


def relative_error(truth: Callable[..., Answers]) -> Callable[..., float]:
    """The worst row's |value − truth| / truth; of gradients, the worst argument's in the 2-norm."""

    def error(mode: str, arrays: dict[str, np.ndarray], answers: Answers) -> float:
        value, *gradients = truth(**{k: v.astype(np.longdouble) for k, v in arrays.items()})
        if mode == "forward":
            return float(np.max(np.abs(answers[0] - value) / np.abs(value)))
        found = answers if mode == "backward" else answers[1:]
        norms = [
            np.linalg.norm((g - t).astype(float)) / np.linalg.norm(t.astype(float))
            for g, t in zip(found, gradients, strict=True)
        ]
        return float(max(norms))

    return error


def _reverse_kl(loc, scale, w, m, s) -> np.ndarray:
    """KL(N(loc, scale)‖Σ w N(m, s)) for each row, by the trapezium rule in float64."""
    u = np.linspace(-10, 10, 401)
    x = loc[:, None] + scale[:, None] * u
    log_q = -(u**2) / 2 - np.log(scale)[:, None] - np.log(2 * np.pi) / 2
    parts = -(((x[..., None] - m[:, None]) / s[:, None]) ** 2) / 2 + np.log(w / s)[:, None]
    top = parts.max(-1)
    log_p = top + np.log(np.exp(parts - top[..., None]).sum(-1)) - np.log(2 * np.pi) / 2
    density = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
    return (density * (log_q - log_p)).sum(-1) * (u[1] - u[0])


def _optimum(loc, scale, w, m, s, steps: int = 12, h: float = 1e-3) -> np.ndarray:
    """The least reverse KL that Newton's method meets, from (loc, log scale), by differences."""
    at = np.stack([loc, np.log(scale)], -1)
    ring = h * np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1)])
    least = np.full(len(w), np.inf)
    for _ in range(steps):
        o, px, nx, py, ny, pp, nn = (
            _reverse_kl(x[:, 0], np.exp(x[:, 1]), w, m, s) for x in at + ring[:, None]
        )
        least = np.minimum(least, o)
        gradient = np.stack([px - nx, py - ny], -1) / (2 * h)
        xx, yy = (px - 2 * o + nx) / h**2, (py - 2 * o + ny) / h**2
        xy = (pp + nn - px - nx - py - ny + 2 * o) / (2 * h**2)
        hessian = np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2)
        at = at - np.linalg.solve(hessian, gradient[..., None])[..., 0]
    return least


def fit_error(mode: str, arrays: dict[str, np.ndarray], answers: Answers) -> float:
    """The worst target's KL at the answer (loc, scale) above its best optimum, in nats.

    The cases' components stand apart, so that each has an optimum close to it.
    """
    w, m, s = (np.atleast_2d(arrays[name]).astype(float) for name in ("w", "m", "s"))
    loc, scale = (np.atleast_1d(answer).astype(float) for answer in answers)
    best = np.min([_optimum(m[:, k], s[:, k], w, m, s) for k in range(w.shape[-1])], 0)
    return float(np.max(_reverse_kl(loc, scale, w, m, s) - best))
