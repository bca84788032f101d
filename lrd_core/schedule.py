"""How the learning rate changes from epoch to epoch."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, PolynomialLR

from lrd_core.configuration import Schedule


def build_scheduler(spec: Schedule, optimizer: Optimizer, epochs: int) -> LRScheduler:
    """Torch's scheduler, to be stepped once after each of `epochs` epochs."""
    if spec.power is not None:
        return PolynomialLR(optimizer, total_iters=epochs, power=spec.power)
    return MultiStepLR(optimizer, spec.milestones, spec.gamma)
