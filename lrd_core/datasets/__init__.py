"""Data sets as tensors, whole and in memory: no loader process, no image decoded twice."""

from lrd_core.datasets.images import ImageData, data_dir, load_images

__all__ = ["ImageData", "data_dir", "load_images"]
