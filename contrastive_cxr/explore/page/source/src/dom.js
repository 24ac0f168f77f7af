// Elements by plain calls; text is always text, so that no name becomes markup.
export const one = (selector, from = document) => from.querySelector(selector);
export const all = (selector, from = document) => [...from.querySelectorAll(selector)];
export function make(tag, given = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name === 'on') for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (name === 'text') node.textContent = value;
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter(each => each != null));
  return node;
}
export const button = (words, act, given = {}) => make('button', {type: 'button', text: words, on: {click: act}, ...given});
export function say(words) { one('#said').textContent = words; }  // to a screen reader
export function tell(words, wrong = false) {  // to everybody
  const place = one('#told');
  place.className = wrong ? 'wrong' : '';
  one('p', place).textContent = words;
  place.hidden = !words;
}
export const number = value => value == null ? '' : Number(value.toPrecision(3)).toString();
