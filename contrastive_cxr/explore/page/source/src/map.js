// The map: camera, hover, click, keys and lasso. World places lie in -1..1; the picture is drawn by webgl.js or canvas.js.
import KDBush from 'kdbush';
import {polygonContains} from 'd3-polygon';
import {select} from 'd3-selection';
import {zoom, zoomIdentity} from 'd3-zoom';
import {plain} from './canvas.js';
import {webgl} from './webgl.js';

const REACH = 12;  // pixels within which a point is meant

export class Map2D extends EventTarget {
  constructor(place, store) {
    super();
    this.place = place;
    this.store = store;
    this.canvas = place.querySelector('canvas.points');
    this.over = place.querySelector('canvas.over');
    this.renderer = webgl(this.canvas, store.x, store.y);
    if (!this.renderer) {  // a canvas that was asked for WebGL gives no other context
      const fresh = this.canvas.cloneNode();
      this.canvas.replaceWith(fresh);
      this.canvas = fresh;
      this.renderer = plain(fresh, store.x, store.y);
    }
    this.canvas.addEventListener('webglcontextlost', event => event.preventDefault());
    this.canvas.addEventListener('webglcontextrestored', () => { this.renderer = webgl(this.canvas, store.x, store.y); this.recolour(); });
    place.dataset.renderer = this.renderer.kind;
    this.index = new KDBush(store.rows);
    for (let row = 0; row < store.rows; row++) this.index.add(store.x[row], store.y[row]);
    this.index.finish();
    this.at = -1;
    this.opened = -1;
    this.guests = [];
    this.lassoing = false;
    this.transform = zoomIdentity;
    this.listen();
    store.addEventListener('colours', () => this.recolour());
    new ResizeObserver(() => this.resize()).observe(place);
    this.resize();
    this.recolour();
  }
  listen() {
    this.zoom = zoom().scaleExtent([0.5, 400]).filter(event => event.type === 'wheel' || !(this.lassoing || event.shiftKey || event.button))
      .on('zoom', event => { this.transform = event.transform; this.redraw(); });
    select(this.over).call(this.zoom).on('dblclick.zoom', null);
    const where = event => [event.offsetX, event.offsetY];
    this.over.addEventListener('pointermove', event => { if (!this.path && !event.buttons) this.hover(this.nearest(...where(event)), true); });
    this.over.addEventListener('pointerleave', () => { if (!this.path) this.hover(-1); });
    this.over.addEventListener('click', event => {
      if (this.drew) { this.drew = false; return; }
      const guest = this.guests.findIndex(each => Math.hypot(...this.seen(each.x, each.y).map((at, axis) => at - where(event)[axis])) < REACH + 4);
      if (guest >= 0) { this.tell('guest', this.guests[guest]); return; }
      const row = this.nearest(...where(event));
      if (row >= 0) this.tell('open', row);
    });
    this.over.addEventListener('pointerdown', event => {
      if (!(this.lassoing || event.shiftKey) || event.button) return;
      this.over.setPointerCapture(event.pointerId);
      this.path = [where(event)];
      this.hover(-1);
    });
    this.over.addEventListener('pointermove', event => {
      if (!this.path) return;
      this.path.push(where(event));
      this.redraw();
    });
    const end = () => {
      if (!this.path) return;
      const path = this.path;
      this.path = null;
      if (path.length > 3) { this.drew = true; this.tell('lasso', this.inside(path)); }
      this.redraw();
    };
    this.over.addEventListener('pointerup', end);
    this.over.addEventListener('pointercancel', end);
    this.place.addEventListener('keydown', event => this.key(event));
  }
  tell(what, detail) { this.dispatchEvent(new CustomEvent(what, {detail})); }
  // ---- world and screen
  get view() {
    const {k, x, y} = this.transform, base = 0.47 * Math.min(this.width, this.height);
    const usual = Math.min(11, Math.max(2.6, 260 / Math.sqrt(this.store.rows)));
    return {scale: base * k, left: this.width / 2 * k + x, top: this.height / 2 * k + y, points: Math.min(16, usual * k ** 0.35)};
  }
  seen(x, y) { const {scale, left, top} = this.view; return [x * scale + left, y * scale + top]; }
  world(across, down) { const {scale, left, top} = this.view; return [(across - left) / scale, (down - top) / scale]; }
  nearest(across, down) {
    const [x, y] = this.world(across, down), reach = REACH / this.view.scale;
    let best = -1, least = Infinity;
    for (const row of this.index.within(x, y, reach)) {
      const away = (this.store.x[row] - x) ** 2 + (this.store.y[row] - y) ** 2;
      if (this.store.shown[row] && away < least) { best = row; least = away; }
    }
    return best;
  }
  box(low, high) { return this.index.range(low[0], low[1], high[0], high[1]).filter(row => this.store.shown[row]).sort((a, b) => a - b); }
  inside(path) {
    const polygon = path.map(([across, down]) => this.world(across, down));
    const axis = (each, act) => act(...polygon.map(point => point[each]));
    return this.box([axis(0, Math.min), axis(1, Math.min)], [axis(0, Math.max), axis(1, Math.max)])
      .filter(row => polygonContains(polygon, [this.store.x[row], this.store.y[row]]));
  }
  inView() { return this.box(this.world(0, 0), this.world(this.width, this.height)); }
  // ---- pointing
  hover(row, byPointer = false) {
    if (row === this.at) return;
    this.at = row;
    this.over.classList.toggle('pointing', row >= 0);
    this.redraw();
    this.tell('hover', {row, byPointer, at: row < 0 ? null : this.seen(this.store.x[row], this.store.y[row])});
  }
  key(event) {
    const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
    if (event.target !== this.place) return;
    if (moves[event.key]) this.step(moves[event.key]);
    else if (event.key === 'Enter' && this.at >= 0) this.tell('open', this.at);
    else if (event.key === '+' || event.key === '=') this.scaleBy(1.5);
    else if (event.key === '-') this.scaleBy(1 / 1.5);
    else if (event.key === '0') this.reset();
    else if (event.key === 'Escape') this.hover(-1);
    else return;
    event.preventDefault();
  }
  step([across, down]) {  // the nearest shown point that lies within 45 degrees of the direction
    const {x, y, shown, rows} = this.store;
    const [fromX, fromY] = this.at >= 0 ? [x[this.at], y[this.at]] : this.world(this.width / 2, this.height / 2);
    let best = -1, least = Infinity;
    for (let row = 0; row < rows; row++) {
      if (!shown[row] || row === this.at) continue;
      const right = x[row] - fromX, below = y[row] - fromY, along = right * across + below * down;
      const aside = Math.abs(right * down) + Math.abs(below * across), away = along + 2 * aside;
      if ((this.at < 0 || (along > 0 && aside <= along)) && (this.at < 0 ? Math.hypot(right, below) : away) < least) {
        best = row;
        least = this.at < 0 ? Math.hypot(right, below) : away;
      }
    }
    if (best < 0) return;
    this.show(best, false);
    this.hover(best);
  }
  scaleBy(factor) { select(this.over).call(this.zoom.scaleBy, factor); }
  reset() { select(this.over).call(this.zoom.transform, zoomIdentity); }
  show(row, closer = true) { this.look(this.store.x[row], this.store.y[row], closer); }
  look(x, y, closer = true) {  // bring a place into view
    const [across, down] = this.seen(x, y), edge = 40;
    const there = across > edge && down > edge && across < this.width - edge && down < this.height - edge;
    if (there && !closer) return;
    const k = closer ? Math.max(this.transform.k, 2.5) : this.transform.k, base = 0.47 * Math.min(this.width, this.height);
    const at = zoomIdentity.translate(this.width / 2 - (this.width / 2 + x * base) * k, this.height / 2 - (this.height / 2 + y * base) * k).scale(k);
    select(this.over).call(this.zoom.transform, at);
  }
  lasso(on) { this.lassoing = on; this.over.classList.toggle('drawing', on); }
  // ---- drawing
  resize() {
    const box = this.place.getBoundingClientRect();
    this.width = Math.max(1, box.width);
    this.height = Math.max(1, box.height);
    this.ratio = Math.min(2, devicePixelRatio || 1);
    for (const each of [this.canvas, this.over]) {
      each.width = Math.round(this.width * this.ratio);
      each.height = Math.round(this.height * this.ratio);
    }
    this.draw();
  }
  recolour() { this.renderer.colours(this.store.colours); this.redraw(); }
  redraw() { this.waiting ||= requestAnimationFrame(() => { this.waiting = 0; this.draw(); }); }
  draw() {
    this.renderer.draw(this.view, this.width, this.height, this.ratio);
    this.drawOver();
    this.frames = (this.frames ?? 0) + 1;
    this.place.dataset.frames = this.frames;
  }
  drawOver() {
    const pen = this.over.getContext('2d'), style = getComputedStyle(this.place), {points} = this.view;
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    const ink = style.getPropertyValue('--ink'), paper = style.getPropertyValue('--card');
    const ring = (row, wide, colour) => {
      const [across, down] = this.seen(this.store.x[row], this.store.y[row]);
      pen.beginPath();
      pen.arc(across, down, points / 2 + wide, 0, 2 * Math.PI);
      pen.lineWidth = 2;
      pen.strokeStyle = colour;
      pen.stroke();
    };
    if (this.opened >= 0) { ring(this.opened, 3, paper); ring(this.opened, 5, ink); }
    if (this.at >= 0) { ring(this.at, 2, paper); ring(this.at, 4, ink); }
    for (const {x, y} of this.guests) {
      const [across, down] = this.seen(x, y);
      pen.beginPath();
      [[0, -10], [10, 0], [0, 10], [-10, 0]].forEach(([right, below]) => pen.lineTo(across + right, down + below));
      pen.closePath();
      Object.assign(pen, {fillStyle: ink, strokeStyle: paper, lineWidth: 3});
      pen.stroke();
      pen.fill();
    }
    if (this.path) {
      pen.beginPath();
      this.path.forEach(point => pen.lineTo(...point));
      pen.closePath();
      Object.assign(pen, {strokeStyle: ink, lineWidth: 1.5, fillStyle: 'rgb(128 160 190 / 20%)'});
      pen.setLineDash([6, 4]);
      pen.fill();
      pen.stroke();
      pen.setLineDash([]);
    }
  }
}
