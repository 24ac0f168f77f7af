// Questions to the server that the page came from; a token is asked for where one is needed.
let token = sessionStorage.getItem('ccxr-token') ?? '';
let asking = null;

export class Refused extends Error {
  constructor(status, faults) { super(faults.join(' ')); this.status = status; }
}

export async function ask(path, options = {}) {
  const headers = {...options.headers, ...(token ? {Authorization: `Bearer ${token}`} : {})};
  let answer;
  try {
    answer = await fetch(path, {...options, headers});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refused(0, ['The server does not answer; it may have been stopped.']);
  }
  if (answer.status === 401) {
    token = await wantToken();
    return ask(path, options);
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => null);
  throw new Refused(answer.status, said?.error?.faults ?? [`The server answered ${answer.status}.`]);
}

export const json = async (path, options) => (await ask(path, options)).json();

function wantToken() {
  asking ??= new Promise(done => {
    const dialog = document.querySelector('#token');
    dialog.querySelector('form').addEventListener('submit', event => {
      event.preventDefault();
      const given = new FormData(event.target).get('token');
      sessionStorage.setItem('ccxr-token', given);
      dialog.close();
      asking = null;
      done(given);
    }, {once: true});
    dialog.showModal();
  });
  return asking;
}

// ---- pictures as blob addresses, since an <img> cannot send a token; the least recently used are let go
const held = new Map(), MOST = 1500;
export function picture(path) {
  let found = held.get(path);
  if (found) {
    held.delete(path);
  } else {
    found = ask(path).then(answer => answer.blob()).then(blob => URL.createObjectURL(blob));
    found.catch(() => held.delete(path));
  }
  held.set(path, found);
  if (held.size > MOST) {
    const [oldest, url] = held.entries().next().value;
    held.delete(oldest);
    url.then(URL.revokeObjectURL, () => {});
  }
  return found;
}

export function fill(image, path) {  // an <img> from the server, or words where there is no picture
  picture(path).then(url => { image.src = url; }, error => {
    image.replaceWith(Object.assign(document.createElement('span'), {className: 'gone', textContent: error.message}));
  });
  return image;
}
