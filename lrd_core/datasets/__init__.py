"""Data sets: where they are stored, how they are downloaded, and their batches on the device.

Empty on purpose: `lrd_core.datasets.catalogue` must be importable without torch.
"""
