// Beside the map: lists of cases, counts of what is selected, filters; over it the legend.
import {css, nothing, ofNumber, ofValue} from './colours.js';
import {all, make, number, one, say} from './dom.js';
import {tile} from './parts.js';

const STEP = 60, MOST = 64;
const LISTS = [
  ['errors', 'Errors', 'The prediction is not the label; the surest first.'],
  ['labels', 'Suspected label errors', 'At least 60 % of the nearest cases of other patients have one other label.'],
  ['copies', 'Suspected copies', 'Two and two: one file, or alike in detail.'],
  ['unfamiliar', 'Unfamiliar cases', 'Farther from all others than 99 % of the cases; the farthest first.'],
];
export const nice = name => name.replaceAll('_', ' ');

export class Panel extends EventTarget {
  constructor(store, marks) {
    super();
    Object.assign(this, {store, marks, limit: STEP, which: one('#which'), tiles: one('#tiles'), more: one('#more')});
    this.filled();
    this.which.addEventListener('change', () => { this.limit = STEP; this.draw(); });
    this.more.addEventListener('click', () => {
      const from = this.tiles.children.length;
      this.limit += STEP;
      this.draw();
      this.tiles.children[from]?.focus();
    });
    store.addEventListener('shown', () => { this.legend(); this.filled(); this.draw(); });
    store.addEventListener('selected', () => { this.filled(); if (store.selected.length) this.choose('selected'); else if (this.which.value === '') this.choose('all'); });
    marks.addEventListener('change', () => { this.filled(); if (this.which.value === 'marked') this.draw(); });
    this.colouring();
    this.filters();
    this.legend();
    this.draw();
  }
  choose(name) { this.which.value = name; this.limit = STEP; this.draw(); }
  rows(name = this.which.value) {
    const {store} = this;
    if (name === 'marked') return this.marks.rows;
    if (name === 'selected') return store.selected.filter(row => store.shown[row]);
    if (name === 'all') return [...store.shown.keys()].filter(row => store.shown[row]);
    const rows = store.lists[name] ?? [];
    if (name !== 'copies') return rows.filter(row => store.shown[row]);
    return rows.filter((row, at) => store.shown[row] || store.shown[rows[at ^ 1]]);  // a pair stays together
  }
  filled() {  // the lists that have something, with their counts; the first of them is what is shown first
    const before = this.which.value, {store} = this;
    const entries = [...LISTS.map(([name, words]) => [name, words]), ['selected', 'Selected region'], ['marked', 'Marked'], ['all', 'All that fit the filters']];
    this.which.replaceChildren(...entries.map(([name, words]) => {
      const count = this.rows(name).length / (name === 'copies' ? 2 : 1);
      return make('option', {value: name, text: `${words} (${count})`, disabled: !count && name !== 'all'});
    }));
    const first = LISTS.map(([name]) => name).find(name => store.lists[name]?.length) ?? 'all';
    this.which.value = before && !one(`option[value=${before}]`, this.which).disabled ? before : before ? 'all' : first;
  }
  draw() {
    const name = this.which.value, rows = this.rows(), {store} = this;
    const about = LISTS.find(each => each[0] === name)?.[2] ?? '';
    one('#about-list').textContent = `${about}${about ? ' ' : ''}${Math.min(this.limit, rows.length)} of ${rows.length} shown.`;
    this.summary(name === 'selected' || name === 'all' ? rows : []);
    const more = {errors: 'probability', unfamiliar: 'percentile', labels: 'vote_share'}[name];
    const words = row => {
      if (name === 'labels') return `${Math.round(100 * store.value('vote_share', row))} % ${store.value('vote', row)}`;
      return more ? `${nice(more)} ${number(store.value(more, row))}` : '';
    };
    this.tiles.replaceChildren(...rows.slice(0, this.limit).map(row => tile(store, row, each => this.open(each), words(row), this.marks)));
    this.more.hidden = rows.length <= this.limit;
    this.more.textContent = `Show ${Math.min(STEP, rows.length - this.limit)} more`;
  }
  open(row) { this.dispatchEvent(new CustomEvent('open', {detail: row})); }
  summary(rows) {  // label counts, and how many are predicted wrongly
    const place = one('#summary'), label = this.store.by.get('label');
    if (!rows.length || !label) { place.replaceChildren(); return; }
    const counts = new Map();
    for (const row of rows) counts.set(label.codes[row], (counts.get(label.codes[row]) ?? 0) + 1);
    const sorted = [...counts].sort((a, b) => b[1] - a[1]);
    const bars = sorted.slice(0, 12).map(([code, count]) => {
      const bar = make('span', {class: 'bar', 'aria-hidden': 'true'});
      bar.style.width = `${100 * count / sorted[0][1]}%`;
      bar.style.background = css(ofValue(label, code));
      return make('tr', {}, make('th', {scope: 'row', text: label.values[code] || 'no label'}), make('td', {text: count}),
        make('td', {text: `${(100 * count / rows.length).toFixed(0)} %`}), make('td', {class: 'bars'}, bar));
    });
    const wrong = rows.filter(row => this.store.value('outcome', row) === 'wrong').length;
    const known = rows.filter(row => ['right', 'wrong'].includes(this.store.value('outcome', row))).length;
    place.replaceChildren(make('table', {}, make('caption', {text: `${rows.length} cases by label`}), make('tbody', {}, ...bars)),
      ...(known ? [make('p', {class: 'soft', text: `${wrong} of ${known} predicted ones are predicted wrongly.`})] : []));
  }
  // ---- colour and legend
  colouring() {
    const choice = one('#colour'), {store} = this;
    choice.replaceChildren(...store.columns.filter(column => column.kind !== 'text').map(({name}) => make('option', {value: name, text: nice(name)})));
    choice.value = store.colourBy;
    choice.addEventListener('change', () => { store.colourBy = choice.value; store.paint(); this.legend(); this.draw(); });
  }
  legend() {
    const {store} = this, column = store.by.get(store.colourBy), place = one('#legend');
    if (!column) { place.replaceChildren(); return; }
    if (column.kind === 'number') {
      const {from, to} = store.range(column), bar = make('span', {class: 'scale', 'aria-hidden': 'true'});
      bar.style.background = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(share => css(ofNumber(share))).join(', ')})`;
      const none = column.numbers.some(value => value == null), dot = make('span', {class: 'swatch', 'aria-hidden': 'true'});
      dot.style.background = css(nothing());
      place.replaceChildren(make('p', {class: 'numbers'}, make('span', {text: number(from)}), bar, make('span', {text: number(to)})), none ? make('p', {}, dot, ' none') : '');
      return;
    }
    const counts = new Uint32Array(column.values.length);
    column.codes.forEach((code, row) => { counts[code] += store.shown[row]; });
    const hidden = this.hidden(column.name), order = [...column.values.keys()].sort((a, b) => counts[b] - counts[a]).slice(0, 16);
    const kept = document.activeElement?.dataset?.code;
    place.replaceChildren(...order.map(code => {
      const dot = make('span', {class: 'swatch', 'aria-hidden': 'true'});
      dot.style.background = css(ofValue(column, code));
      const words = column.values[code] || 'none';
      return make('button', {type: 'button', class: 'entry', 'aria-pressed': String(!hidden.has(code)), 'data-code': code, title: 'Show or hide these cases',
        on: {click: () => this.toggle(column, code)}}, dot, make('span', {text: words}), make('span', {class: 'soft', text: counts[code]}));
    }), column.values.length > 16 ? make('p', {class: 'soft', text: `and ${column.values.length - 16} more`}) : '');
    if (kept !== undefined) one(`[data-code="${kept}"]`, place)?.focus();
  }
  hidden(name) { this.off ??= new Map(); if (!this.off.has(name)) this.off.set(name, new Set()); return this.off.get(name); }
  toggle(column, code) {
    const off = this.hidden(column.name);
    if (off.has(code)) off.delete(code); else off.add(code);
    this.apply(column);
  }
  apply(column) {
    const off = this.hidden(column.name), {codes} = column;
    this.store.filter(column.name, off.size ? row => !off.has(codes[row]) : null);
    all(`#filters [data-column="${CSS.escape(column.name)}"] input`).forEach(tick => { tick.checked = !off.has(+tick.value); });
    this.count();
  }
  // ---- filters
  filters() {
    const {store} = this, place = one('#filters');
    place.replaceChildren(...store.columns.map(column => {
      const inside = column.kind === 'category' ? (column.values.length <= MOST ? this.ticks(column) : null) : column.kind === 'number' ? this.bounds(column) : null;
      return inside && make('details', {'data-column': column.name, open: column.name === 'label'}, make('summary', {text: nice(column.name)}), inside);
    }).filter(Boolean));
    const text = one('#text'), columns = store.columns.filter(column => column.kind === 'text' || column.name === 'patient');
    text.addEventListener('input', () => {
      const wanted = text.value.trim().toLowerCase();
      const has = row => store.paths[row].toLowerCase().includes(wanted) || columns.some(({name}) => String(store.value(name, row)).toLowerCase().includes(wanted));
      store.filter('text', wanted ? has : null);
      this.count();
    });
    one('#clear').addEventListener('click', () => {
      this.off?.forEach(each => each.clear());
      all('#filters input').forEach(input => { if (input.type === 'checkbox') input.checked = true; else input.value = ''; });
      text.value = '';
      store.filters.clear();
      store.filter('text', null);
      this.count();
    });
    this.count();
  }
  count() {
    const shown = this.store.shown.reduce((sum, each) => sum + each, 0), active = this.store.filters.size;
    one('#count').textContent = shown === this.store.rows ? `${shown} cases` : `${shown} of ${this.store.rows} cases`;
    one('#clear').disabled = !active;
    say(one('#count').textContent);
  }
  ticks(column) {
    return make('div', {class: 'ticks'}, ...column.values.map((value, code) => make('label', {class: 'tick'},
      make('input', {type: 'checkbox', value: code, checked: true, on: {change: () => this.toggle(column, code)}}), value || 'none')));
  }
  bounds(column) {
    const {low, high} = this.store.range(column), inputs = [low, high].map((value, at) => make('input', {
      type: 'number', step: 'any', placeholder: number(value), 'aria-label': `${nice(column.name)}, ${at ? 'at most' : 'at least'}`,
      on: {input: () => {
        const [from, to] = inputs.map((input, side) => input.value === '' ? (side ? Infinity : -Infinity) : +input.value);
        const any = inputs.every(input => input.value === '');
        this.store.filter(column.name, any ? null : row => column.numbers[row] != null && column.numbers[row] >= from && column.numbers[row] <= to);
        this.count();
      }},
    }));
    return make('div', {class: 'bounds'}, inputs[0], 'to', inputs[1]);
  }
}
