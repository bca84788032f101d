"""In which fonts a figure on paper writes: the one that matplotlib brings, and for what that lacks
(Chinese, Japanese, Korean and others) those that this machine has."""

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
"""Where a machine has one, in the order in which they are asked for a sign."""


def families(installed: Collection[str]) -> list[str]:
    """What `font.family` is set to, given the names of the fonts that are there."""
    return [FIRST, *(name for name in FURTHER if name in installed)]


@cache
def here() -> list[str]:
    """`families` of this machine."""
    from matplotlib.font_manager import fontManager

    return families({font.name for font in fontManager.ttflist})
