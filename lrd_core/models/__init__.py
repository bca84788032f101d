"""The paper's networks, by name."""

from lrd_core.models.build import build_model

__all__ = ["build_model"]
