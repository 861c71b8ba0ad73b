r"""Scalar kernels, right to a few ulp, with derivative rules to match.

Each keeps the dtype of its argument (float32, or float64 with longer series), broadcasts, and takes
Python numbers. A slope that is infinite, or overflows, is reported as 0, so that the chain rule
through a zero probability never forms 0 · inf.
"""

from .elementary import expm1 as expm1
from .elementary import log1mexp as log1mexp
from .elementary import sigmoid as sigmoid
from .elementary import softplus as softplus
from .elementary import tanh as tanh
from .exact import product_difference as product_difference
from .exact import total as total
from .exact import two_sum as two_sum
from .gamma import digamma as digamma
from .gamma import digamma_difference as digamma_difference
from .gamma import gamma_bregman as gamma_bregman
from .gamma import itakura_saito as itakura_saito
from .gamma import log_gamma as log_gamma
from .gamma import log_ratio as log_ratio
from .gamma import trigamma as trigamma
from .generators import bd0 as bd0
from .generators import entr as entr
from .generators import js_kernel as js_kernel
from .generators import neg_xlogy as neg_xlogy
from .generators import phi as phi
from .generators import psi as psi
from .masses import in_two as in_two
from .masses import log_mass as log_mass
from .masses import log_quotient as log_quotient
from .masses import power as power
from .masses import quotient as quotient
from .renyi import divided as divided
from .renyi import expm1_over as expm1_over
from .renyi import log1prel as log1prel
from .renyi import log1prel_derivative as log1prel_derivative
from .renyi import log_mixture_gap as log_mixture_gap
from .renyi import moment as moment
from .renyi import renyi_link as renyi_link
from .renyi import renyi_node as renyi_node
from .renyi import renyi_term as renyi_term
from .shape import shape_bregman as shape_bregman
from .shape import shape_curvature as shape_curvature
from .shape import shape_difference as shape_difference
from .shape import shape_excess as shape_excess
from .shape import shape_slope as shape_slope
from .shape import shape_value as shape_value
