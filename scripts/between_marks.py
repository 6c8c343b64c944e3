"""Text between two marks of a page, replaced by programs that measure."""

import re


def write(page, name, text):
    """Replaces what stands between `<!-- name…-->` and `<!-- end of name -->`."""
    old = page.read_text()
    pattern = re.compile(rf"(<!-- {name}:[^\n]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    new, count = pattern.subn(lambda marks: f"{marks[1]}\n{text.strip()}\n\n{marks[2]}", old)
    if count != 1:
        raise SystemExit(f"{page} has no place for {name}")
    page.write_text(new)
