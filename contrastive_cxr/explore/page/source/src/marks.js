// Marks and notes: kept in this browser under the gallery's key, written as a CSV by the server.
import {ask} from './api.js';

export class Marks extends EventTarget {
  constructor(store) {
    super();
    this.key = `ccxr-marks-${store.key}`;
    let kept = [];
    try { kept = JSON.parse(localStorage.getItem(this.key) ?? '[]'); } catch { /* begin anew */ }
    this.by = new Map(kept.filter(each => each.row < store.rows).map(each => [each.row, each]));
  }
  of(row) { return this.by.get(row); }
  get rows() { return [...this.by.keys()].sort((a, b) => a - b); }
  set(row, mark) {
    if (mark) this.by.set(row, {row, ...mark}); else this.by.delete(row);
    try { localStorage.setItem(this.key, JSON.stringify([...this.by.values()])); } catch { /* they last as long as the page */ }
    this.dispatchEvent(new Event('change'));
  }
  clear() { this.by.clear(); localStorage.removeItem(this.key); this.dispatchEvent(new Event('change')); }
  async csv() {
    const answer = await ask('/explore/marks.csv', {
      method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({marks: [...this.by.values()]}),
    });
    const link = Object.assign(document.createElement('a'), {href: URL.createObjectURL(await answer.blob()), download: 'marks.csv'});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
}
