"""python docs/figures/descent.py: the paths of Figures 1 and 4, without and with LRD.

The starting points are `Surface.drawn`, the seed is 0.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("agg")

import matplotlib.pyplot as plt

from lrd_core import presets
from lrd_core.spec import expand, expand_arms
from lrd_core.surfaces import SURFACES
from lrd_core.tasks.descent import paths

HERE = Path(__file__).parent
STEPS = {"figure-1": 2500, "figure-4": 2000}


def draw(name: str) -> None:
    """Write `<name>.png` beside this file."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    sweep = presets.apply_preset(name, seeds=1)
    for axis, arm, trial in zip(axes, expand_arms(sweep), expand(sweep), strict=True):
        surface = SURFACES[trial.data.surface or ""]
        x, y = (np.linspace(*ends, 300) for ends in zip(surface.low, surface.high, strict=True))
        height = surface.height(*np.meshgrid(x, y))
        # Logarithmic: eq. 3 reaches from 0.05 to 10,000.
        axis.contourf(x, y, np.log(height - height.min() + 0.02), 24, cmap="Greys", alpha=0.6)
        ways = paths(trial, surface.drawn, STEPS[name])  # (steps + 1, n, 2)
        axis.plot(ways[..., 0], ways[..., 1], linewidth=1)
        axis.plot(ways[0, :, 0], ways[0, :, 1], "o", color="tab:red", markersize=4)
        axis.plot(ways[-1, :, 0], ways[-1, :, 1], "o", color="gold", markersize=4)
        axis.plot(*zip(*surface.optima, strict=True), "*", color="black", markersize=10)
        axis.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), xlabel="x")
        axis.set_title(arm.label)
    axes[0].set_ylabel("y")
    figure.savefig(HERE / f"{name}.png", dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    for preset in STEPS:
        draw(preset)
