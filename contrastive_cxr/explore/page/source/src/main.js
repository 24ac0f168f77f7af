// The page of `ccxr explore`: the map first, then what is around it.
import {ask, fill, json} from './api.js';
import {Case} from './case.js';
import {onScheme} from './colours.js';
import {Drop} from './drop.js';
import {make, one, say, tell} from './dom.js';
import {Map2D} from './map.js';
import {Marks} from './marks.js';
import {Panel} from './panel.js';
import {Store} from './store.js';

async function begin() {
  const [about, places] = await Promise.all([json('/explore/table'), ask('/explore/places').then(answer => answer.arrayBuffer())]);
  const store = new Store(about, new Float32Array(places)), marks = new Marks(store);
  document.title = `${store.name}: ccxr explore`;
  one('#name').textContent = store.name;
  const map = new Map2D(one('#map'), store);
  document.body.classList.remove('loading');
  requestAnimationFrame(() => setTimeout(() => { performance.mark('map-drawn'); document.body.dataset.drawn = 'yes'; }));
  const shown = new Case(store, marks), panel = new Panel(store, marks), drop = new Drop(store, shown);
  hovering(map, store);
  const open = (row, order) => { map.opened = row; shown.open(row, order); };
  panel.addEventListener('open', event => open(event.detail, panel.rows()));
  map.addEventListener('open', event => open(event.detail, panel.rows()));
  shown.addEventListener('opened', event => { map.opened = event.detail; map.show(event.detail, false); map.redraw(); });
  shown.addEventListener('closed', () => { map.opened = -1; map.redraw(); panel.draw(); });
  map.addEventListener('lasso', event => choose(event.detail));
  map.addEventListener('guest', event => drop.open(event.detail));
  drop.addEventListener('guest', event => { map.guests.push(event.detail); map.look(event.detail.x, event.detail.y); map.redraw(); drop.open(event.detail); });
  onScheme(() => { store.paint(); panel.legend(); panel.draw(); });
  const lasso = one('#lasso');
  const draw = on => { lasso.setAttribute('aria-pressed', on); map.lasso(on); };
  const choose = rows => {
    store.select(rows);
    draw(false);
    one('#unselect').disabled = !rows.length;
    say(`${rows.length} cases selected`);
    if (!rows.length) panel.choose('all');
  };
  lasso.addEventListener('click', () => draw(lasso.getAttribute('aria-pressed') !== 'true'));
  one('#in-view').addEventListener('click', () => choose(map.inView()));
  one('#unselect').addEventListener('click', () => choose([]));
  one('#closer').addEventListener('click', () => map.scaleBy(1.5));
  one('#farther').addEventListener('click', () => map.scaleBy(1 / 1.5));
  one('#whole').addEventListener('click', () => map.reset());
  exporting(marks);
  one('#told button').addEventListener('click', () => tell(''));
}

function exporting(marks) {
  const button = one('#export'), clear = one('#forget');
  const count = () => {
    button.textContent = `Export marks (${marks.by.size})`;
    button.disabled = clear.disabled = !marks.by.size;
  };
  marks.addEventListener('change', count);
  button.addEventListener('click', () => marks.csv().then(() => tell('marks.csv is a table of images: ccxr data look marks.csv data.outside=true'), error => tell(error.message, true)));
  clear.addEventListener('click', () => { if (confirm(`Forget ${marks.by.size} marks?`)) marks.clear(); });
  count();
}

function hovering(map, store) {
  const card = one('#hover');
  map.addEventListener('hover', ({detail: {row, at}}) => {
    card.hidden = row < 0;
    if (row < 0) return;
    const image = fill(make('img', {alt: '', width: 112, height: 112}), `/explore/small/${row}`);
    card.replaceChildren(image, make('b', {text: store.value('label', row) || 'no label'}),
      make('span', {text: store.value('predicted', row) ? `predicted ${store.value('predicted', row)}` : ''}),
      make('span', {class: 'soft', text: store.paths[row]}));
    const wide = card.offsetWidth, high = card.offsetHeight, left = at[0] + 16;
    card.style.left = `${Math.max(4, left + wide > map.width ? at[0] - wide - 16 : left)}px`;
    card.style.top = `${Math.min(Math.max(4, at[1] - high / 2), map.height - high - 4)}px`;
    say(`${store.words(row)}, ${store.paths[row]}`);
  });
}

begin().catch(error => { document.body.classList.remove('loading'); tell(error.message, true); });
