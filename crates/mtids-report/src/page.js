// Sorts and searches the tables of a page. A page without it says the same.
'use strict';
(() => {
  // Fewer rows are seen at a glance.
  const SORTED = 4, SEARCHED = 15;
  const words = new Intl.Collator('en', { numeric: true });
  const text = (row, column) => row.cells[column].textContent.trim();
  // The first number of a cell: `1 234`, `12.3 %`, `−0.012`, `0.84 [0.80, 0.88]`. NaN where there is none.
  const number = (cell) => parseFloat(cell.replace(/[\u2009\u202f\u00a0]/g, '').replace(/\u2212/g, '-'));

  function sortable(table, body, rows) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.title = 'sort';
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        // Up, down, as it was.
        const next = { ascending: 'descending', descending: null }[head.getAttribute('aria-sort')];
        const order = next === undefined ? 'ascending' : next;
        heads.forEach((other) => other.removeAttribute('aria-sort'));
        if (order === null) return body.append(...rows);
        head.setAttribute('aria-sort', order);
        const numeric = head.classList.contains('n'), sign = order === 'ascending' ? 1 : -1;
        const value = (row) => (numeric ? number(text(row, column)) : text(row, column));
        const by = numeric ? (x, y) => x - y : words.compare;
        // What has no number comes last, whatever the direction.
        const none = Number.isNaN;
        const sorted = [...rows].sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          return none(x) || none(y) ? none(x) - none(y) : sign * by(x, y);
        });
        body.append(...sorted);
      });
    });
  }

  function searchable(table, rows) {
    const box = document.createElement('input');
    box.type = 'search';
    box.className = 'search';
    box.placeholder = `search ${rows.length} rows`;
    box.setAttribute('aria-label', 'search the rows of this table');
    const contents = rows.map((row) => row.textContent.toLowerCase());
    box.addEventListener('input', () => {
      const wanted = box.value.toLowerCase().split(/\s+/);
      rows.forEach((row, n) => { row.hidden = !wanted.every((word) => contents[n].includes(word)); });
    });
    (table.closest('.wide') || table).before(box);
  }

  for (const table of document.querySelectorAll('main table')) {
    const body = table.tBodies[0], head = table.tHead;
    if (!body || !head || table.tBodies.length > 1 || head.rows.length > 1) continue;
    const rows = [...body.rows], columns = head.rows[0].cells.length;
    // Cells that span rows or columns have no place of their own in another order.
    const plain = rows.every((row) => row.cells.length === columns && ![...row.cells].some((cell) => cell.rowSpan > 1));
    if (plain && rows.length >= SORTED) sortable(table, body, rows);
    if (plain && rows.length >= SEARCHED) searchable(table, rows);
  }
})();
