"""What an attempt's log holds: what is printed while it trains, line by line."""

import io
import logging
import multiprocessing
import sys
from pathlib import Path

import pytest

from lrd_core.trial_folder import LocalFolder
from workers import log as logs
from workers.log import Log


def lines(folder: Path) -> list[str]:
    text = (folder / "attempt-1.log").read_text()
    return [line.partition(" ")[2] for line in text.splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(LocalFolder(tmp_path), 1)


def test_prints_warnings_and_logging_stand_in_it(
    log: Log, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Catches: the first tool of whoever debugs a model, whose words went nowhere."""
    with log.printed():
        print("two\nlines")
        print("half a line", end="")
        sys.stderr.write("UserWarning: mind this\n")
        logging.getLogger("my_lab").addHandler(logging.StreamHandler(sys.stderr))
        logging.getLogger("my_lab").warning("and that")
        sys.stdout.flush()
    print("not of the trial")
    found = lines(tmp_path)
    assert found[:2] == ["| two", "| lines"]
    assert "| UserWarning: mind this" in found
    assert "| and that" in found
    assert found[-1] == "| half a line"
    assert "two\nlines\nhalf a line" in capfd.readouterr().out  # and where it went before


def test_a_progress_bar_is_its_last_state(log: Log, tmp_path: Path) -> None:
    with log.printed():
        for percent in range(101):
            print(f"\r{percent} %", end="")
        print()
    assert lines(tmp_path) == ["| 100 %"]


def test_who_prints_every_batch_does_not_fill_the_storage(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MOST_PRINTED", 3)
    for _ in range(2):
        with log.printed():
            for number in range(10):
                print(number)
    log.end("done")
    assert lines(tmp_path) == ["| 0", "| 1", "| 2", "| (no more than 3 lines)", "done"]


@pytest.mark.parametrize(("text", "end"), [("x", "\n"), ("x" * 500, "")])
def test_nor_the_disk_of_the_worker_where_its_process_prints(
    log: Log,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    end: str,
) -> None:
    """Catches: gigabytes in the log that Ray keeps of the process, line by line or in one line."""
    monkeypatch.setattr(logs, "MOST_PRINTED", 30)
    monkeypatch.setattr(logs, "MOST_PASSED", 10_000)
    with log.printed():
        for _ in range(1000):
            print(text, end=end)
        sys.stdout.flush()
    print("of another")
    out = capfd.readouterr().out
    assert 0 < out.count("x") <= 10_000
    assert out.count("\n") <= 32
    assert out.endswith("of another\n")


def test_it_is_text_for_any_reader_whatever_is_written(log: Log, tmp_path: Path) -> None:
    log.write("caf\udce9, \x1b[31mred\x1b[0m, a bell\x07\tand\nmore\r\n")
    assert lines(tmp_path)[0] == "caf\ufffd, red, a bell\ufffd\tand"


def test_of_a_text_without_end_both_ends_are_kept(log: Log, tmp_path: Path) -> None:
    log.end("begins" + "x" * 1_000_000 + "ends")
    (line,) = lines(tmp_path)
    assert line.startswith("begins")
    assert line.endswith("ends")
    assert "900,010 characters" in line
    assert len(line) < 101_000


def test_another_process_has_no_part_in_it(log: Log, tmp_path: Path) -> None:
    """Catches: a loader's process that writes its own copy of the log over this one."""
    log.write("begins")
    with log.printed():
        loader = multiprocessing.get_context("fork").Process(target=print, args=("loading",))
        loader.start()
        loader.join()
    assert lines(tmp_path) == ["begins"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_the_stream_below_cannot_write_is_printed_all_the_same(
    encoding: str, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a trial that failed as it printed the name of a file: `surrogates not allowed`."""
    below = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", below)
    with log.printed():
        print("reads caf\udce9.png")
    below.seek(0)
    assert below.read() == "reads caf\\udce9.png\n"
    assert lines(tmp_path) == ["| reads caf\ufffd.png"]


def test_a_trial_that_closes_it_leaves_the_stream_below_to_later_ones(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: `I/O operation on closed file`, where a later trial of a kept process prints."""
    below = io.StringIO()
    monkeypatch.setattr(sys, "stdout", below)
    with log.printed():
        sys.stdout.close()
    with log.printed():
        print("of the next")
    assert lines(tmp_path) == ["| of the next"]
    assert below.getvalue() == "of the next\n"


def test_it_is_still_a_file_to_who_asks(log: Log) -> None:
    with log.printed():
        assert sys.stdout.encoding.lower() == "utf-8"
        assert sys.stderr.isatty() in (True, False)


def test_a_handler_of_a_kept_process_writes_into_the_log_of_the_trial_that_runs(
    log: Log, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Catches: later trials' words in the first one's log, whose deleted folder came back so."""
    later = Log(LocalFolder(tmp_path / "later"), 1)
    with log.printed():
        handler = logging.StreamHandler(sys.stderr)  # as a library makes one when it is imported
        handler.handle(logging.makeLogRecord({"msg": "the first's"}))
    log.folder.delete("attempt-1.log")
    handler.handle(logging.makeLogRecord({"msg": "nobody's"}))
    with later.printed():
        handler.handle(logging.makeLogRecord({"msg": "the second's"}))
    assert lines(tmp_path / "later") == ["| the second's"]
    assert not log.folder.exists("attempt-1.log")
    assert "the first's\nnobody's\nthe second's\n" in capfd.readouterr().err
