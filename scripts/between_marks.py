"""Text between two marks of a page, replaced by programs that measure.

    PROGRAM | python scripts/between_marks.py PAGE NAME
"""

import re
import sys
from pathlib import Path


def write(page, name, text):
    """Replaces what stands between `<!-- name…-->` and `<!-- end of name -->`."""
    old = page.read_text()
    pattern = re.compile(rf"(<!-- {name}:[^\n]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    new, count = pattern.subn(lambda marks: f"{marks[1]}\n{text.strip()}\n\n{marks[2]}", old)
    if count != 1:
        raise SystemExit(f"{page} has no place for {name}")
    page.write_text(new)


if __name__ == "__main__":
    # A program that failed has printed nothing.
    if text := sys.stdin.read():
        write(Path(sys.argv[1]), sys.argv[2], text)
