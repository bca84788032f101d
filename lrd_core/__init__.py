"""The science: specs, learning-rate dropout, training. No Ray, no HTTP, no SQL.

Empty on purpose: importing `lrd_core.spec` must not import torch.
"""
