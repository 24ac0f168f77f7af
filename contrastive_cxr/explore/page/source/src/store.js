// All cases: columns, colours, which are shown, which are selected. Whoever shows them listens.
import {nothing, ofNumber, ofValue} from './colours.js';

export class Store extends EventTarget {
  constructor(about, places) {
    super();
    Object.assign(this, about);
    this.x = Float32Array.from({length: about.rows}, (_, row) => places[2 * row]);
    this.y = Float32Array.from({length: about.rows}, (_, row) => places[2 * row + 1]);
    this.by = new Map(this.columns.map(column => [column.name, column]));
    const names = new Set(['label', 'predicted', 'vote'].flatMap(name => this.by.get(name)?.values ?? []));
    const shared = [...(this.by.get('label')?.values ?? []), ...[...names].sort()].filter((name, at, list) => list.indexOf(name) === at);
    for (const name of ['label', 'predicted', 'vote']) if (this.by.has(name)) this.by.get(name).shared = shared;
    this.colourBy = this.by.has('label') ? 'label' : this.columns[0]?.name ?? '';
    this.filters = new Map();  // {column: function(row) -> whether it is shown}
    this.shown = new Uint8Array(this.rows).fill(1);
    this.selected = [];
    this.colours = new Uint8Array(4 * this.rows);
    this.paint();
  }
  tell(what) { this.dispatchEvent(new Event(what)); }
  value(name, row) {
    const column = this.by.get(name);
    if (!column) return '';
    if (column.kind === 'category') return column.values[column.codes[row]];
    return column.kind === 'number' ? column.numbers[row] : column.texts[row];
  }
  range(column) {
    if (!column.range) {
      const known = column.numbers.filter(value => value != null);
      const sorted = Float64Array.from(known).sort(), at = share => sorted[Math.floor(share * (sorted.length - 1))];
      column.range = {low: at(0), high: at(1), from: at(0.01), to: at(0.99)};
    }
    return column.range;
  }
  colour(row) {
    const column = this.by.get(this.colourBy);
    if (!column || column.kind === 'text') return nothing();
    if (column.kind === 'category') return ofValue(column, column.codes[row]);
    const value = column.numbers[row], {from, to} = this.range(column);
    return value == null ? nothing() : ofNumber((value - from) / (to - from || 1));
  }
  paint() {
    const column = this.by.get(this.colourBy);
    const known = column?.kind === 'category' ? column.values.map((_, code) => ofValue(column, code)) : null;
    for (let row = 0; row < this.rows; row++) {
      const colour = known ? known[column.codes[row]] : this.colour(row);
      this.colours.set(colour, 4 * row);
    }
    this.fade();
  }
  fade() {  // what is filtered out is not drawn, what is not selected is faint
    const faint = this.selected.length ? 45 : 255;
    for (let row = 0; row < this.rows; row++) this.colours[4 * row + 3] = this.shown[row] ? faint : 0;
    for (const row of this.selected) if (this.shown[row]) this.colours[4 * row + 3] = 255;
    this.tell('colours');
  }
  filter(name, keep) {
    if (keep) this.filters.set(name, keep); else this.filters.delete(name);
    const every = [...this.filters.values()];
    for (let row = 0; row < this.rows; row++) this.shown[row] = every.every(each => each(row)) ? 1 : 0;
    this.fade();
    this.tell('shown');
  }
  select(rows) { this.selected = rows; this.fade(); this.tell('selected'); }
  words(row) {
    const said = this.value('predicted', row), label = this.value('label', row) || 'no label';
    return `${label}${said ? `, predicted ${said}` : ''}`;
  }
}
