"""The tests of this folder run on one thread."""

from tests.lrd_core.one_thread import one_thread

__all__ = ["one_thread"]
