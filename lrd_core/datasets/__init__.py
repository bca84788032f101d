"""Data sets: where they lie, how they are fetched, and how they come as batches on the device.

Empty on purpose: `lrd_core.datasets.catalogue` is read without torch.
"""
