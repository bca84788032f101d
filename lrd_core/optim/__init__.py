"""Learning-rate dropout (Algorithm 1 of arXiv 1912.00144) on any torch optimizer."""

from lrd_core.optim.build import Form, build_optimizer, form_of
from lrd_core.optim.hooks import learning_rate_dropout, remove_learning_rate_dropout

__all__ = [
    "Form",
    "build_optimizer",
    "form_of",
    "learning_rate_dropout",
    "remove_learning_rate_dropout",
]
