// An image of the reader's own: embedded, searched, put on the map between its nearest cases. It stays in memory.
import {json} from './api.js';
import {make, number, one, tell} from './dom.js';
import {sections} from './case.js';
import {maps, probabilities, tile} from './parts.js';
import {viewer} from './viewer.js';

const NEAREST = 8;

export class Drop extends EventTarget {
  constructor(store, shown) {
    super();
    Object.assign(this, {store, shown, guests: []});
    const input = one('#file');
    one('#add').addEventListener('click', () => input.click());
    input.addEventListener('change', () => { this.take([...input.files]); input.value = ''; });
    const over = on => event => { if ([...event.dataTransfer?.types ?? []].includes('Files')) { event.preventDefault(); document.body.classList.toggle('dropping', on); } };
    addEventListener('dragover', over(true));
    addEventListener('dragleave', event => { if (!event.relatedTarget) document.body.classList.remove('dropping'); });
    addEventListener('drop', event => { over(false)(event); this.take([...event.dataTransfer?.files ?? []]); });
  }
  async take(files) {
    for (const file of files.slice(0, 8)) {
      tell(`Searching for ${file.name} …`);
      const form = new FormData();
      form.append('images', file, file.name);
      try {
        const found = (await json(`/search?k=${NEAREST}`, {method: 'POST', body: form})).images[0];
        const guest = {name: file.name, file, form, found, ...this.place(found.neighbours)};
        this.guests.push(guest);
        tell('');
        this.dispatchEvent(new CustomEvent('guest', {detail: guest}));
      } catch (error) {
        tell(`${error.message}`, true);
      }
    }
  }
  place(near) {  // the mean place of the nearest cases, the nearer ones counting more
    let sum = 0, x = 0, y = 0;
    for (const {position, distance} of near) {
      const weight = 1 / (distance + 1e-3) ** 2;
      sum += weight;
      x += weight * this.store.x[position];
      y += weight * this.store.y[position];
    }
    return sum ? {x: x / sum, y: y / sum} : {x: 0, y: 0};
  }
  open(guest) {
    const {store, shown} = this, {found} = guest;
    shown.row = -1;
    const signal = shown.begin(guest.name, []), view = viewer(`Your image ${guest.name}`);
    const parts = sections(['Prediction', 'Nearest cases', 'Maps']);
    const send = path => json(path, {method: 'POST', body: guest.form, signal});
    const inside = found.inside ? 'The gallery has this very file; it and its patient are left out. ' : '';
    const words = `${inside}${found.agreement.votes} of ${found.agreement.of} nearest cases are ${found.agreement.label || 'without a label'}. `
      + (found.percentile == null ? '' : `Its nearest case is farther than that of ${number(found.percentile)} % of the gallery${found.unfamiliar ? ': it is unfamiliar' : ''}.`);
    const near = found.neighbours.map(each => tile(store, each.position, row => shown.open(row, found.neighbours.map(other => other.position)),
      `distance ${number(each.distance)}${each.patient ? `, ${each.patient}` : ''}`));
    parts.fill('Nearest cases', make('p', {class: found.unfamiliar ? 'bad' : '', text: words}), make('div', {class: 'tiles'}, ...near));
    one('.inside', shown.dialog).replaceChildren(make('div', {class: 'large'}, view.node), make('div', {class: 'beside'}, ...parts.nodes));
    const own = URL.createObjectURL(guest.file);
    const local = view.show(own).catch(() => false).finally(() => URL.revokeObjectURL(own));  // DICOM is nothing for a browser
    const first = store.classes.length ? send('/predict').then(said => probabilities(said.images[0], store.thresholds)) : Promise.resolve([make('p', {class: 'soft', text: 'The run has no classifier.'})]);
    first.then(nodes => parts.fill('Prediction', ...nodes)).then(() => send('/explain?k=2')).then(async said => {
      parts.fill('Maps', maps(said.images[0], each => each.path));
      if (await local === false) view.show(`data:image/png;base64,${said.images[0].image}`);
    }).catch(error => { if (error.name !== 'AbortError') parts.fail(error.message); });
  }
}
