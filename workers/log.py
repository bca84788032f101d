"""The log of one attempt at a trial: the worker's own lines, and whatever its code prints."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import UTC, datetime
from typing import Any, TextIO, cast

from lrd_core.texts import clipped, readable
from lrd_core.trial_folder import TrialFolder, log_name

MOST_PRINTED = 5_000
"""Printed lines kept per attempt, so that printing each batch does not fill the storage."""
LONGEST = 2_000
"""Characters kept of a printed line."""
MOST_PASSED = MOST_PRINTED * LONGEST
"""Characters per attempt that are passed on to where this process prints."""
MOST_AT_ONCE = 50_000
"""Characters kept at each end of what is written at once, e.g. of a traceback."""


class Log:
    """Lines for people to read; a full disk costs the log, never the trial."""

    def __init__(self, folder: TrialFolder, attempt: int) -> None:
        self.folder, self.attempt = folder, attempt
        self._name = log_name(attempt)
        self._printed = self._passed = 0

    def write(self, text: str) -> None:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with suppress(OSError):
            kept = readable(clipped(text, MOST_AT_ONCE, MOST_AT_ONCE))
            self.folder.append(self._name, f"{stamp} {kept}")

    def end(self, text: str) -> None:
        """Write the last line, and let readers see the whole log."""
        self.write(text)
        with suppress(OSError):
            self.folder.flush()

    @contextmanager
    def hearing(self, name: str) -> Iterator[None]:
        """Within, also write here the warnings logged below the logger `name`."""
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: self.write(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)

    @contextmanager
    def printed(self) -> Iterator[None]:
        """Within, also write here whatever this process prints, warnings included."""
        _OUT.begin(sys.stdout, self)
        _ERR.begin(sys.stderr, self)
        with redirect_stdout(cast(TextIO, _OUT)), redirect_stderr(cast(TextIO, _ERR)):
            try:
                yield
            finally:
                _OUT.end()
                _ERR.end()

    def passes_on(self, characters: int) -> bool:
        """Whether that many more printed characters are passed on to where this process prints."""
        self._passed += characters
        return self._printed <= MOST_PRINTED and self._passed <= MOST_PASSED

    def hear(self, line: str) -> None:
        """Write a printed line here, or nothing after too many."""
        self._printed += 1
        if self._printed <= MOST_PRINTED:
            self.write(f"| {line}")
        elif self._printed == MOST_PRINTED + 1:
            self.write(f"| (no more than {MOST_PRINTED:,} lines)")


class _Lines:
    """A stream that passes text on, and reports each line as a terminal would show it.

    One per process, because a library's handler keeps the `sys.stderr` it first saw; what it writes
    belongs to whichever trial runs now.
    """

    _to: TextIO
    _log: Log | None = None
    _line = ""
    _process = 0

    def begin(self, to: TextIO, log: Log) -> None:
        """Report lines to `log` from now on."""
        self._to, self._log, self._process = to, log, os.getpid()

    def __getattr__(self, name: str) -> Any:
        """Everything else that a stream has, e.g. `fileno`."""
        return getattr(self._to, name)

    def write(self, text: str) -> int:
        """Write to the stream below; return the number of characters, as any stream does."""
        if self._log is None or self._log.passes_on(len(text)):
            self._pass_on(text)
        # A data loader's process has only a copy of the log.
        if self._log is not None and os.getpid() == self._process:
            *lines, rest = (self._line + text).split("\n")
            for line in lines:
                self._say(line)
            self._line = rest.rpartition("\r")[2][-LONGEST:]  # a progress bar writes over itself
        return len(text)

    def close(self) -> None:
        """Do nothing: the stream below is the process's, which later trials print to."""

    def end(self) -> None:
        """Report an unfinished last line, and stop reporting."""
        self._say(self._line)
        self._line, self._log = "", None

    def _pass_on(self, text: str) -> None:
        try:
            self._to.write(text)
        except UnicodeEncodeError:  # the name of a file that is not UTF-8 is no reason to fail
            self._to.write(text.encode("ascii", "backslashreplace").decode())

    def _say(self, line: str) -> None:
        shown = line.rstrip("\r").rpartition("\r")[2].rstrip()
        if shown and self._log is not None:
            self._log.hear(shown[:LONGEST])


_OUT, _ERR = _Lines(), _Lines()
