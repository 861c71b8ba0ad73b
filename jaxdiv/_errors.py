"""Errors that a user may want to catch."""


class NoClosedFormError(TypeError):
    """No closed form is known for a functional of two operands, and no estimator was given.

    The message names the two types and the estimators that would serve.

    Example:
        >>> import jaxdiv as jd
        >>> try:
        ...     jd.jensen_shannon(jd.Normal(0.0, 1.0), jd.Normal(1.0, 1.0))
        ... except jd.NoClosedFormError as error:
        ...     print(str(error).splitlines()[0])
        No closed form for JensenShannon between Normal and Normal.
    """


class NoDecompositionError(TypeError):
    """No way is known to take a divergence of two operands apart, for `explain`.

    The message names what can be taken apart.

    Example:
        >>> import jaxdiv as jd
        >>> try:
        ...     jd.explain(jd.KL(), jd.Gamma(1.0, 1.0), jd.Gamma(2.0, 1.0))
        ... except jd.NoDecompositionError as error:
        ...     print(str(error).splitlines()[0])
        No decomposition of KL between Gamma and Gamma is known.
    """
