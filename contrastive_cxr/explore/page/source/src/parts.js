// Pieces that the panel and the case share: a small picture as a button, probabilities, maps.
import {fill} from './api.js';
import {css} from './colours.js';
import {make, number} from './dom.js';

export function tile(store, row, open, more = '', marks = null) {
  const dot = make('span', {class: 'swatch', 'aria-hidden': 'true'});
  dot.style.background = css(store.colour(row));
  const wrong = store.value('outcome', row) === 'wrong';
  const words = make('span', {class: 'words'}, dot, store.value('label', row) || 'no label');
  const predicted = store.value('predicted', row);
  const said = predicted && make('span', {class: wrong ? 'words bad' : 'words soft', text: `predicted ${predicted}`});
  const about = more && make('span', {class: 'words soft', text: more});
  const image = fill(make('img', {alt: '', width: 112, height: 112}), `/explore/small/${row}`);
  const flag = marks?.of(row) ? make('span', {class: 'flag', text: 'marked'}) : null;
  const patient = store.value('patient', row);
  return make('button', {
    type: 'button', class: 'tile', 'data-row': row, on: {click: () => open(row)},
    'aria-label': `Case ${store.paths[row] || row}: ${store.words(row)}${more ? `, ${more}` : ''}${patient ? `, patient ${patient}` : ''}`,
  }, image, words, said || null, about || null, flag);
}

export function probabilities(prediction, thresholds) {
  const rows = Object.entries(prediction.probabilities).map(([name, value]) => {
    const calibrated = prediction.calibrated?.[name], shown = calibrated ?? value;
    const meter = make('meter', {min: 0, max: 1, value: shown, 'aria-label': `probability of ${name}`});
    return make('tr', {class: name === prediction.decision ? 'decided' : ''}, make('th', {scope: 'row', text: name}),
      make('td', {}, meter), make('td', {text: value.toFixed(3)}), prediction.calibrated ? make('td', {text: calibrated.toFixed(3)}) : null);
  });
  const heads = ['class', '', 'probability', ...(prediction.calibrated ? ['calibrated'] : [])];
  const table = make('table', {class: 'probabilities'}, make('thead', {}, make('tr', {}, ...heads.map(text => make('th', {scope: 'col', text})))), make('tbody', {}, ...rows));
  const notes = thresholds.filter(each => each.name in prediction.thresholds).map(each => make('li', {
    text: `${each.class} ${prediction.thresholds[each.name] ? 'reaches' : 'does not reach'} the threshold ${number(each.threshold)} of ${each.words}.`,
  }));
  const costs = prediction.decision === prediction.most_probable ? '' : ` by the costs of errors that the run states; the most probable class is ${prediction.most_probable}`;
  return [make('p', {}, 'Predicted: ', make('b', {text: prediction.decision}), costs), table,
    prediction.calibrated ? null : make('p', {class: 'soft', text: 'No temperature was fitted for this run, so no probability is calibrated.'}),
    notes.length ? make('ul', {}, ...notes) : make('p', {class: 'soft', text: 'No threshold was chosen for this run.'})];
}

export function maps(said, nameOf) {
  const figure = (png, words, name) => make('figure', {class: 'map'},
    png ? make('img', {src: `data:image/png;base64,${png}`, alt: name, width: 220, height: 220}) : make('p', {class: 'gone', text: words}),
    make('figcaption', {text: name}));
  return make('div', {class: 'row'},
    said.gradcam && figure(said.gradcam.png, said.gradcam.words, `Grad-CAM for ${said.gradcam.target}`),
    ...said.similarity.map(each => figure(each.png, each.words, `like ${nameOf(each.neighbour)}`)));
}
