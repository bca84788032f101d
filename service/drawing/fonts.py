"""Fonts of printed figures: the one that comes with matplotlib, and for scripts that it lacks
(Chinese, Japanese, Korean and others) those installed on this machine."""

from collections.abc import Collection
from functools import cache

FIRST = "DejaVu Sans"
FURTHER = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP",
    "Noto Sans KR", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Droid Sans Fallback", "IPAGothic", "IPAexGothic", "NanumGothic", "PingFang SC",
    "Hiragino Sans", "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic",
    "Arial Unicode MS", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip
"""Fallback fonts, if installed, in the order in which they are searched for a character."""


def families(installed: Collection[str]) -> list[str]:
    """The value of `font.family`, given the names of the installed fonts."""
    return [FIRST, *(name for name in FURTHER if name in installed)]


@cache
def here() -> list[str]:
    """The `families` of this machine."""
    from matplotlib.font_manager import fontManager

    return families({font.name for font in fontManager.ttflist})
