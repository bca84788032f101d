"""What the service's processes log, and how it reads: on stderr, a line each."""

import logging

TALKATIVE = ("fontTools",)
"""It tells at INFO each table of each font that is put into a PDF."""


def to_stderr() -> None:
    """Log there from now on."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
