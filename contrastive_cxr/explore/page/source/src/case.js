// The case: picture, prediction, nearest cases, maps, mark and note, in a dialog that keeps the focus.
import {json, picture} from './api.js';
import {make, number, one} from './dom.js';
import {maps, probabilities, tile} from './parts.js';
import {viewer} from './viewer.js';

export class Case extends EventTarget {
  constructor(store, marks) {
    super();
    Object.assign(this, {store, marks, dialog: one('#case'), order: [], row: -1});
    this.dialog.addEventListener('close', () => { this.asked?.abort(); this.row = -1; this.dispatchEvent(new Event('closed')); this.back?.focus?.(); });
    this.dialog.addEventListener('click', event => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener('keydown', event => {
      if (event.target.closest('input, textarea, select, canvas')) return;
      const by = {ArrowRight: 1, ArrowLeft: -1, n: 1, p: -1}[event.key];
      if (by) { event.preventDefault(); this.step(by); }
      if (event.key === 'm') { const tick = one('[name=marked]', this.dialog); tick?.click(); }
    });
    one('#case-previous').addEventListener('click', () => this.step(-1));
    one('#case-next').addEventListener('click', () => this.step(1));
    one('#case-close').addEventListener('click', () => this.dialog.close());
  }
  step(by) {
    const at = this.order.indexOf(this.row), next = this.order[at + by];
    if (at >= 0 && next !== undefined) this.open(next, this.order);
  }
  begin(title, order) {
    this.asked?.abort();
    this.asked = new AbortController();
    this.order = order;
    if (!this.dialog.open) { this.back = document.activeElement; this.dialog.showModal(); }
    this.dialog.scrollTop = 0;
    one('#case-title').textContent = title;
    const at = order.indexOf(this.row);
    one('#case-previous').disabled = at <= 0;
    one('#case-next').disabled = at < 0 || at >= order.length - 1;
    return this.asked.signal;
  }
  open(row, order = []) {
    this.row = row;
    const {store} = this, signal = this.begin(`${store.paths[row] || `Case ${row}`}: ${store.words(row)}`, order);
    const view = viewer(`Image of case ${store.paths[row] || row}, ${store.words(row)}`);
    picture(`/explore/large/${row}`).then(view.show).catch(error => view.fail(error.message));
    const parts = sections(['Prediction', 'Nearest cases', 'Maps', 'Known of the case']);
    const mark = this.mark(row);
    parts.fill('Known of the case', facts(store, row));
    one('.inside', this.dialog).replaceChildren(make('div', {class: 'large'}, view.node, mark), make('div', {class: 'beside'}, ...parts.nodes));
    json(`/explore/case/${row}`, {signal}).then(said => {
      parts.fill('Prediction', ...(said.prediction ? probabilities(said.prediction, store.thresholds) : [make('p', {class: 'soft', text: said.words})]));
      const near = said.near.map(each => tile(store, each.row, next => this.open(next, said.near.map(other => other.row)),
        `${each.copy ? 'may be a copy, ' : ''}distance ${number(each.distance)}${store.value('patient', each.row) ? `, ${store.value('patient', each.row)}` : ''}`));
      parts.fill('Nearest cases', near.length ? make('div', {class: 'tiles'}, ...near) : make('p', {class: 'soft', text: 'There is no other case.'}));
      return json(`/explore/maps/${row}`, {signal});
    }).then(said => parts.fill('Maps', maps(said, each => each.path || `case ${each.position}`)))
      .catch(error => { if (error.name !== 'AbortError') parts.fail(error.message); });
    this.dispatchEvent(new CustomEvent('opened', {detail: row}));
  }
  mark(row) {
    const kept = this.marks.of(row), labels = this.store.by.get('label')?.values.filter(Boolean) ?? [];
    const tick = make('input', {type: 'checkbox', name: 'marked', checked: Boolean(kept)});
    const label = make('input', {name: 'label', list: 'labels', value: kept?.label ?? '', maxlength: 255, placeholder: this.store.value('label', row) || 'no label', autocomplete: 'off'});
    const note = make('textarea', {name: 'note', rows: 2, maxlength: 4000});
    note.value = kept?.note ?? '';
    const save = () => this.marks.set(row, tick.checked ? {label: label.value.trim(), note: note.value} : null);
    tick.addEventListener('change', save);
    for (const each of [label, note]) each.addEventListener('input', () => { if (each.value) tick.checked = true; save(); });
    return make('fieldset', {class: 'mark'}, make('legend', {text: 'Mark'}), make('label', {class: 'tick'}, tick, 'Mark this case'),
      make('label', {}, 'Right label', label), make('datalist', {id: 'labels'}, ...labels.map(value => make('option', {value}))), make('label', {}, 'Note', note));
  }
}

export function sections(names) {
  const by = new Map(names.map(name => [name, make('div', {}, make('p', {class: 'soft wait', text: 'Working …'}))]));
  return {
    nodes: names.map(name => make('section', {}, make('h3', {text: name}), by.get(name))),
    fill: (name, ...children) => by.get(name).replaceChildren(...children.filter(Boolean)),
    fail: words => by.forEach(place => { if (one('.wait', place)) place.replaceChildren(make('p', {class: 'gone', text: words})); }),
  };
}

function facts(store, row) {
  const list = make('dl');
  for (const column of store.columns) {
    const value = store.value(column.name, row), text = typeof value === 'number' ? number(value) : value;
    if (text !== '' && text != null) list.append(make('dt', {text: column.name.replaceAll('_', ' ')}), make('dd', {text}));
  }
  return list;
}
