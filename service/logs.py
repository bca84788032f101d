"""What the service's processes log, and how it reads: on stderr, a line each."""

import logging
import time

TALKATIVE = ("fontTools",)
"""It tells at INFO each table of each font that is put into a PDF."""


def to_stderr() -> None:
    """Log there from now on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Utc("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Utc(logging.Formatter):
    """Times as the API, the audit log and the trials' logs have them, wherever the process runs."""

    converter = staticmethod(time.gmtime)
    default_time_format, default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
