// One picture with zoom, window and level. The picture is 8 bit, as the network's images are decoded.
import {button, make} from './dom.js';

export function viewer(alt) {
  const canvas = make('canvas', {class: 'picture', width: 640, height: 640, tabindex: 0, role: 'img', 'aria-label': alt});
  const range = (words, name, low, high, value) => {
    const input = make('input', {type: 'range', name, min: low, max: high, value, step: 'any', on: {input: draw}});
    return [make('label', {}, words, input), input];
  };
  const [levelLabel, level] = range('Level', 'level', 0, 255, 127.5);
  const [windowLabel, width] = range('Window', 'window', 2, 510, 255);
  const [zoomLabel, zoom] = range('Zoom', 'zoom', 1, 10, 1);
  const inverted = make('input', {type: 'checkbox', name: 'invert', on: {change: draw}});
  const place = {x: 0.5, y: 0.5};
  const reset = () => { level.value = 127.5; width.value = 255; zoom.value = 1; inverted.checked = false; place.x = place.y = 0.5; draw(); };
  const tools = make('div', {class: 'row tools-of-picture'}, zoomLabel, windowLabel, levelLabel,
    make('label', {class: 'tick'}, inverted, 'Invert'), button('Reset', reset));
  let image = null, grey = null, toned = null, tones = '';

  function tone() {  // through a table of 256 tones, only where window or level changed
    const key = `${level.value} ${width.value} ${inverted.checked}`;
    if (key === tones) return;
    tones = key;
    const low = level.value - width.value / 2, table = Uint8ClampedArray.from({length: 256}, (_, at) => (at - low) / width.value * 255);
    if (inverted.checked) table.forEach((value, at) => { table[at] = 255 - value; });
    const from = grey.data, to = new ImageData(grey.width, grey.height);
    for (let at = 0; at < from.length; at += 4) {
      to.data[at] = to.data[at + 1] = to.data[at + 2] = table[from[at]];
      to.data[at + 3] = 255;
    }
    toned.getContext('2d').putImageData(to, 0, 0);
  }
  function draw() {
    if (!image) return;
    tone();
    const pen = canvas.getContext('2d'), side = Math.max(image.width, image.height), k = canvas.width / side * zoom.value;
    const half = 0.5 / zoom.value;
    for (const axis of ['x', 'y']) place[axis] = Math.min(1 - half, Math.max(half, place[axis]));
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = '#000';
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingEnabled = k < 3;
    pen.setTransform(k, 0, 0, k, canvas.width / 2 - place.x * side * k, canvas.height / 2 - place.y * side * k);
    pen.drawImage(toned, (side - image.width) / 2, (side - image.height) / 2);
  }
  const by = (x, y) => { place.x += x / zoom.value; place.y += y / zoom.value; draw(); };
  canvas.addEventListener('wheel', event => {
    event.preventDefault();
    zoom.value *= Math.exp(-event.deltaY * 0.0015);
    draw();
  }, {passive: false});
  canvas.addEventListener('pointerdown', event => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener('pointermove', event => {
    if (!event.buttons) return;
    const size = canvas.clientWidth;
    if (event.buttons === 1 && !event.shiftKey) { by(-event.movementX / size, -event.movementY / size); return; }
    width.value = +width.value + event.movementX;  // the right button, or Shift: window and level, as in a PACS viewer
    level.value = +level.value + event.movementY * 0.5;
    draw();
  });
  canvas.addEventListener('contextmenu', event => event.preventDefault());
  canvas.addEventListener('keydown', event => {
    const moves = {ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, -0.05], ArrowDown: [0, 0.05]};
    if (moves[event.key]) by(...moves[event.key]);
    else if (event.key === '+' || event.key === '-') { zoom.value *= event.key === '+' ? 1.25 : 0.8; draw(); } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  async function show(url) {
    image = new Image();
    image.src = url;
    await image.decode();
    toned = make('canvas', {width: image.width, height: image.height});
    const pen = toned.getContext('2d', {willReadFrequently: true});
    pen.drawImage(image, 0, 0);
    grey = pen.getImageData(0, 0, image.width, image.height);
    tones = '';
    canvas.dataset.shown = 'yes';
    draw();
  }
  const fail = words => canvas.replaceWith(make('p', {class: 'gone large', text: words}));
  return {node: make('div', {class: 'viewer'}, canvas, tools,
    make('p', {class: 'soft hint', text: 'Drag moves, the wheel zooms, Shift and drag changes window and level.'})), show, fail};
}
