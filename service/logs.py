"""Logging of the service's processes: one line per message on stderr."""

import logging
import time

TALKATIVE = ("fontTools",)
"""Loggers to quieten: at INFO, fontTools reports each table of each font that goes into a PDF."""


def to_stderr() -> None:
    """Log to stderr from now on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Utc("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Utc(logging.Formatter):
    """Times in UTC wherever the process runs, as in the API, the audit log and the trials' logs."""

    converter = staticmethod(time.gmtime)
    default_time_format, default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
