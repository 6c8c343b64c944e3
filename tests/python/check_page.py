"""Sorts and searches a table with the script of our pages, in a headless Chromium.

    python tests/python/check_page.py

Called by `make check-page`; needs chromium.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

browser = shutil.which("chromium") or shutil.which("chromium-browser")
if browser is None:
    sys.exit("chromium is missing: apt-get install chromium")
script = (Path(__file__).parents[2] / "crates/mtids-report/src/page.js").read_text(encoding="utf-8")

THIN, MINUS = "\u202f", "\u2212"
CELLS = [("b10", f"1{THIN}234"), ("b9", f"{MINUS}0.5 %"), ("a", "–"), ("c", "0.84 [0.80, 0.88]"), ("d", "12")]
CELLS += [(f"x{number}", str(100 + number)) for number in range(12)]
rows = "".join(f'<tr><td class="t">{name}</td><td class="n">{value}</td></tr>' for name, value in CELLS)
STEPS = """
const column = (n) => [...document.querySelectorAll('tbody tr')].filter((row) => !row.hidden).map((row) => row.cells[n].textContent).join('|');
const [name, value] = document.querySelectorAll('th button'), box = document.querySelector('.search'), seen = [];
for (let times = 0; times < 3; times++) { value.click(); seen.push(column(1)); }
name.click(); seen.push(column(0));
box.value = 'X1 10'; box.dispatchEvent(new Event('input')); seen.push(column(0));
document.body.append(Object.assign(document.createElement('pre'), { textContent: seen.join(';') }));
"""
page = f"""<!doctype html><meta charset="utf-8"><main><table><thead><tr><th class="t">name</th><th class="n">n</th></tr></thead>
<tbody>{rows}</tbody></table></main><script>{script}</script><script>{STEPS}</script>"""

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "page.html"
    file.write_text(page, encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile", "--dump-dom", file.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
up, down, before, names, found = (answer.split("|") for answer in re.search(r"<pre>(.*?)</pre>", dom, re.S)[1].split(";"))

values = [value for _, value in CELLS]
assert up[:3] == [f"{MINUS}0.5 %", "0.84 [0.80, 0.88]", "12"] and up[-2:] == [f"1{THIN}234", "–"], up
# What has no number is last both ways.
assert down == up[-2::-1] + ["–"], down
assert before == values, before
assert names[:5] == ["a", "b9", "b10", "c", "d"] and names[-1] == "x11", names
assert found == ["x1", "x10"], found
print("a table sorts by numbers and names, goes back to its order, and is searched")
