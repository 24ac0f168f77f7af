'use strict';
// Filters, hover pictures and the enlargement. Without this script the page shows the same pictures and words.
(() => {
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const one = (selector, from = document) => from.querySelector(selector);
const make = (tag, words = '', attributes = {}) => {
  const node = document.createElement(tag);
  node.textContent = words;  // text alone: no name becomes markup
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};
document.documentElement.classList.add('scripted');
const facts = one('#page-facts') ? JSON.parse(one('#page-facts').textContent) : {};

// ---- the enlargement: a dialog, which keeps the focus and closes with Escape
const dialog = make('dialog', '', {'aria-labelledby': 'viewer-title', id: 'viewer'});
const bar = make('div', '', {class: 'bar'}), inside = make('div', '', {class: 'inside'});
const title = make('h2', '', {id: 'viewer-title'});
const buttons = [['Previous', () => step(-1)], ['Next', () => step(1)], ['Close', () => dialog.close()]];
bar.append(title, ...buttons.map(([words, act]) => {
  const button = make('button', words, {type: 'button'});
  button.addEventListener('click', act);
  return button;
}));
dialog.append(bar, inside);
let shown = null;
const pictureOf = figure => one('.stack, img', figure);
const open = figure => {
  shown = figure;
  title.textContent = figure.dataset.name || one('img', figure)?.alt || 'Picture';
  const large = make('div', '', {class: 'large'}), beside = make('div', '', {class: 'beside'});
  const kept = figure.dataset.case && document.getElementById(figure.dataset.case);
  large.append(still(kept ? one('figure', kept) : figure));
  describe(figure, kept, beside);
  inside.replaceChildren(large, ...(beside.children.length ? [beside] : []));
  if (!dialog.isConnected) document.body.append(dialog);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
};
const still = figure => {  // a copy that is no button
  const copy = figure.cloneNode(true);
  all('[role=button]', copy).forEach(each => ['role', 'tabindex', 'aria-haspopup'].forEach(name => each.removeAttribute(name)));
  all('[id]', copy).concat(copy).forEach(each => each.removeAttribute('id'));
  all('img', copy).forEach(each => each.removeAttribute('loading'));
  copy.hidden = false;
  return copy;
};
const describe = (figure, kept, beside) => {
  const given = figure.dataset.probabilities, near = facts.near?.[figure.dataset.row];
  if (given) {
    const list = make('ul');
    given.split(',').forEach((value, number) => {
      const name = facts.classes[number], line = make('li', `${name} ${value} `);
      line.append(make('meter', '', {min: 0, max: 1, value, 'aria-label': `probability of ${name}`}));
      list.append(line);
    });
    beside.append(make('h3', 'Probabilities'), list);
  }
  if (kept) {
    const maps = all('figure.map', kept), others = all('figure.near', kept);
    for (const [words, figures] of [['Where the model looked', maps], ['Nearest training images', others]]) {
      if (!figures.length) continue;
      const row = make('div', '', {class: 'row'});
      row.append(...figures.map(still));
      beside.append(make('h3', words), row);
    }
    const note = one('.no-map', kept);
    if (note) beside.append(make('p', note.textContent, {class: 'soft'}));
  } else if (near) {
    const list = make('ul');
    near.forEach(([place, distance]) => {
      const [path, label] = facts.train[place];
      list.append(make('li', `${label}, distance ${distance.toFixed(4)}: ${path}`));
    });
    beside.append(make('h3', 'Nearest training images'), list);
  }
};
const step = by => {
  const row = all('figure', shown.closest('[data-enlarge]')).filter(each => !each.hidden && one('[role=button]', each));
  const next = row[row.indexOf(shown) + by];
  if (next) { open(next); }
};
dialog.addEventListener('keydown', event => {
  if (event.key === 'ArrowRight' || event.key === 'ArrowLeft') { event.preventDefault(); step(event.key === 'ArrowRight' ? 1 : -1); }
});
dialog.addEventListener('click', event => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener('close', () => { const back = shown && one('[role=button]', shown); if (back) back.focus(); });
const button = figure => {
  const picture = pictureOf(figure);
  if (!picture || picture.hasAttribute('role')) return;
  for (const [name, value] of [['role', 'button'], ['tabindex', '0'], ['aria-haspopup', 'dialog']]) picture.setAttribute(name, value);
  if (!picture.alt) picture.setAttribute('aria-label', one('img', figure)?.alt || 'enlarge');
};
all('[data-enlarge]').forEach(place => {
  if (!place.id || place.id !== 'gallery') all('figure', place).forEach(button);
  const act = event => {
    const pressed = event.target.closest('[role=button]');
    if (!pressed || (event.type === 'keydown' && event.key !== 'Enter' && event.key !== ' ')) return;
    event.preventDefault();
    open(pressed.closest('figure'));
  };
  place.addEventListener('click', act);
  place.addEventListener('keydown', act);
});

// ---- the scored images: filters, order, sixty at a time
const gallery = one('#gallery'), form = one('#filters');
const byRow = new Map(gallery ? all('figure', gallery).map(each => [each.dataset.row, each]) : []);
if (gallery && form) {
  const figures = all('figure', gallery), more = make('button', '', {type: 'button'}), STEP = 60;
  const holder = make('p', '', {class: 'tools more'});
  holder.append(more);
  gallery.after(holder);
  let limit = STEP;
  const orders = {
    first: () => 0,
    unsure: (a, b) => a.dataset.sure - b.dataset.sure,
    sure: (a, b) => b.dataset.sure - a.dataset.sure,
    name: (a, b) => (a.dataset.name < b.dataset.name ? -1 : 1),
  };
  const apply = () => {
    const wanted = Object.fromEntries(new FormData(form)), text = wanted.text.toLowerCase();
    const low = wanted.low / 100, high = wanted.high / 100;
    const fits = each => (!wanted.which || each.classList.contains(wanted.which))
      && (!wanted.true || each.dataset.true === wanted.true) && (!wanted.predicted || each.dataset.predicted === wanted.predicted)
      && +each.dataset.sure >= low && +each.dataset.sure <= high && (!text || each.dataset.name.toLowerCase().includes(text));
    const kept = figures.filter(fits).sort(orders[wanted.order]);
    figures.forEach(each => { each.hidden = true; });
    kept.slice(0, limit).forEach(each => { each.hidden = false; button(each); });
    gallery.prepend(...kept.slice(0, limit));
    form.elements.low.setAttribute('aria-valuetext', `${wanted.low} %`);
    form.elements.high.setAttribute('aria-valuetext', `${wanted.high} %`);
    one('output', form).textContent = `${Math.min(limit, kept.length)} of ${kept.length} that fit, ${figures.length} in all; confidence ${wanted.low} to ${wanted.high} %`;
    more.textContent = `Show ${Math.min(STEP, kept.length - limit)} more`;
    holder.hidden = kept.length <= limit;
  };
  form.addEventListener('input', () => { limit = STEP; apply(); });
  form.addEventListener('submit', event => event.preventDefault());
  form.addEventListener('reset', () => setTimeout(() => { limit = STEP; apply(); }));
  more.addEventListener('click', () => { limit += STEP; apply(); });
  apply();
}

// ---- the map of the embedding: hover pictures, filter by class, arrows and Enter
const map = one('#map svg'), mapForm = one('#map-filters');
if (map) {
  const card = make('div', '', {class: 'hover', hidden: ''}), points = all('circle', map);
  points.forEach(each => { const words = one('title', each); each.dataset.words = words.textContent; words.remove(); });
  one('#map').append(card);
  let at = -1;
  const show = point => {
    points.forEach(each => each.classList.toggle('at', each === point));
    const figure = byRow.get(point.dataset.row), picture = figure && one('img', figure).cloneNode();
    if (picture) ['loading', 'role', 'tabindex', 'aria-haspopup'].forEach(name => picture.removeAttribute(name));
    card.replaceChildren(...(picture ? [picture] : []), make('div', point.dataset.words));
    card.hidden = false;
    const area = one('#map').getBoundingClientRect(), spot = point.getBoundingClientRect();
    const left = spot.left - area.left + 14, wide = card.offsetWidth;
    card.style.left = `${Math.max(0, left + wide > area.width ? left - wide - 24 : left)}px`;
    card.style.top = `${Math.max(0, spot.top - area.top - card.offsetHeight / 2)}px`;
  };
  const enlarge = point => {
    const figure = byRow.get(point.dataset.row);
    if (figure) { card.hidden = true; button(figure); open(figure); }
  };
  map.addEventListener('pointerover', event => { if (event.target.tagName === 'circle') { at = points.indexOf(event.target); show(event.target); } });
  map.addEventListener('pointerleave', () => { card.hidden = true; });
  map.addEventListener('click', event => { if (event.target.tagName === 'circle') enlarge(event.target); });
  map.setAttribute('tabindex', '0');
  map.addEventListener('keydown', event => {
    const by = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (event.key === 'Escape') card.hidden = true;
    if (event.key === 'Enter' && points[at]) enlarge(points[at]);
    if (!by) return;
    event.preventDefault();
    for (let tried = 0; tried < points.length; tried++) {
      at = (at + by + points.length) % points.length;
      if (points[at].style.display !== 'none') { show(points[at]); break; }
    }
  });
  mapForm?.addEventListener('input', () => {
    const data = new FormData(mapForm), classes = data.getAll('class'), wrong = data.has('wrong');
    points.forEach(each => {
      each.style.display = classes.includes(each.dataset.true) && (!wrong || each.classList.contains('wrong')) ? '' : 'none';
    });
    card.hidden = true;
  });
}

// ---- maps over images: how strong they are, and which places they leave out
all('form.strength').forEach(each => each.addEventListener('input', () => {
  const data = new FormData(each), least = data.get('least') / 100;
  document.documentElement.style.setProperty('--strength', data.get('opacity') / 100);
  const slope = 1 / Math.max(0.02, 1 - least);  // 0 at the least, unchanged at the strongest place
  all('#least-shown feFuncA').forEach(part => { part.setAttribute('slope', least ? slope : 1); part.setAttribute('intercept', least ? -least * slope * 0.75 : 0); });
  one('output', each).textContent = `opacity ${data.get('opacity')} %, places below ${data.get('least')} % of the strongest left out`;
}));
})();
