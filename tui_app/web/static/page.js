// What every part of the page uses: building elements, words for numbers, the HTTP API.
// Foreign text reaches the document as text nodes only; there is no HTML sink anywhere (Trusted Types enforce it).

export const $ = id => document.getElementById(id);

/** Build an element: `el('a', {class: 'x', href: '#/', on: {click}}, 'text', child)`. Strings become text nodes. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'on') for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (name === 'data') Object.assign(node.dataset, value);
    else if (name === 'prop') Object.assign(node, value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

/** Change a node's text only when it differs: no layout for nothing. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// ---- words: the same rules as engines/text.py (tests compare them)

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB', 'EB'];

/** Bytes for people, decimal: 4520000000 -> "4.52 GB". */
export function size(count, digits = 2) {
  let value = Number(count) || 0;
  let unit = 0;
  while (Math.abs(value) >= 999.995 && unit < UNITS.length - 1) { value /= 1000; unit++; }
  return `${value.toFixed(unit ? digits : 0)} ${UNITS[unit]}`;
}

export const rate = (speed, unit = 'bytes') => unit === 'bytes' ? `${size(speed)}/s` : `${speed.toFixed(1)} ${unit}/s`;

export function amount(count, unit = 'bytes') {
  if (unit === 'bytes') return size(count);
  if (unit === 'seconds') return clock(count);
  return `${Math.round(count).toLocaleString('en-US')} ${Math.round(count) === 1 ? unit.replace(/s$/, '') : unit}`;
}

const two = number => String(number).padStart(2, '0');

/** Seconds as HH:MM:SS. */
export function clock(seconds) {
  const whole = Math.max(0, Math.trunc(seconds));
  return `${two(Math.trunc(whole / 3600))}:${two(Math.trunc(whole % 3600 / 60))}:${two(whole % 60)}`;
}

/** A long time in two words: "12 days 5 hours". */
export function uptime(seconds) {
  const whole = Math.max(0, Math.trunc(seconds));
  const parts = [[Math.trunc(whole / 86400), 'day'], [Math.trunc(whole % 86400 / 3600), 'hour'],
    [Math.trunc(whole % 3600 / 60), 'minute'], [whole % 60, 'second']];
  while (parts.length > 1 && parts[0][0] === 0) parts.shift();
  return parts.slice(0, 2).map(([count, word]) => `${count} ${word}${count === 1 ? '' : 's'}`).join(' ');
}

export const plural = (count, word) => `${count.toLocaleString('en-US')} ${word}${count === 1 ? '' : 's'}`;

export const when = seconds => new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

const RUNNING_WORDS = {
  info: 'analyzing', compress: 'compressing', extract: 'extracting', media: 'analyzing', transcode: 'transcoding',
  download: 'downloading', upload: 'uploading',
};

/** The status word of the badge: the guide's words while a task runs, "error" when it failed. */
export function statusWord(task) {
  if (task.state === 'running') return RUNNING_WORDS[task.kind] ?? 'running';
  return task.state === 'failed' ? 'error' : task.state;
}

export const ENDED = new Set(['completed', 'failed', 'cancelled']);

/** What may be asked of a task now: its actions, and the password it waits for. */
export const offers = task => task.reason === 'password' ? ['unlock', ...task.actions] : task.actions;

export const verb = action => action === 'unlock' ? 'Password' : action[0].toUpperCase() + action.slice(1);

/** What there is to say about a task: its error, what it waits for, what it made, what it is at. */
export function remark(task) {
  const said = task.error?.message || task.note;
  if (said || task.state === 'completed') return said || task.output;
  return [task.stage, task.item].filter(Boolean).join(' · ');
}

/** Share done from 0 to 1, null while unknown; 1 only when completed. */
export function fraction(task) {
  if (task.state === 'completed') return 1;
  return task.total ? Math.min(task.done / task.total, 0.999) : null;
}

// ---- HTTP

/** The address of the API, right behind any sub-path of a reverse proxy. */
export const url = path => new URL(path, document.baseURI.replace(/[?#].*/, '')).href;

/** An answer of the API that is no success, in words for people. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `The server answered ${status}.`);
    this.status = status;
    this.code = body?.code ?? '';
  }
}

/** Call the API: the parsed JSON answer, or a thrown `Problem`. Without a session it leads to the login page. */
export async function api(method, path, body, headers = {}, signal = undefined) {
  let response;
  try {
    response = await fetch(url(path), {
      method,
      signal,
      headers: body === undefined ? headers : { 'Content-Type': 'application/json', ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Problem(0, { title: 'The server cannot be reached.' });
  }
  const data = response.headers.get('Content-Type')?.includes('json') ? await response.json() : null;
  if (response.status === 401) location.assign(url('login'));
  if (!response.ok) throw new Problem(response.status, data);
  return data;
}

/** A key that makes a repeated request harmless; works without TLS, unlike crypto.randomUUID. */
export const freshKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => two(byte.toString(16))).join('');

export const parent = path => path.slice(0, path.lastIndexOf('/')) || (path.startsWith('/') ? '/' : '');

/** The file or folder of the server at a path: {name, uri, folder, size}, undefined when there is none. */
export async function lookUp(path, signal = undefined) {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (!name) return undefined;
  const asked = new URLSearchParams({ path: parent(path), prefix: path.startsWith('file:') ? '' : name });
  const page = await api('GET', `api/v1/files?${asked}`, undefined, {}, signal);
  return page.entries.find(item => [item.name, item.uri].includes(name));
}

// ---- messages and questions

/** Show a message for a while; problems stay longer and are announced at once. */
export function toast(text, { bad = false, action } = {}) {
  const node = el('p', { class: bad ? 'toast bad' : 'toast' }, text, action && el('a', { href: action.href }, action.label));
  const box = $(bad ? 'alerts' : 'toasts');
  while (box.childElementCount > 3) box.firstElementChild.remove();
  box.append(node);
  setTimeout(() => node.remove(), bad ? 9000 : 5000);
}

/** Run something and show its problem, if any. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    toast(error.message, { bad: true });
    return undefined;
  }
}

/** A dialog with a title; it removes itself when closed. */
export function dialog(title, ...content) {
  const heading = el('h2', { id: `dialog-${freshKey()}` }, title);
  const close = el('button', { type: 'button', class: 'icon', 'aria-label': 'Close', on: { click: () => node.close() } }, '✕');
  const node = el('dialog', { 'aria-labelledby': heading.id }, el('div', { class: 'dialog-head' }, heading, close), ...content);
  node.addEventListener('close', () => { raiseToasts(); node.remove(); });
  node.addEventListener('click', event => { if (event.target === node) node.close(); });
  document.body.append(node);
  node.showModal();
  raiseToasts();
  return node;
}

/** Put the messages into what is on top: below a dialog they are neither seen nor read out. */
function raiseToasts() {
  const top = [...document.querySelectorAll('dialog[open]')].at(-1) ?? document.body;
  top.append($('toasts'), $('alerts'));
}

/** Ask before something that cannot be taken back. */
export function confirm(title, text, verb) {
  return new Promise(resolve => {
    let answer = false;
    const yes = el('button', { type: 'button', class: 'danger', on: { click: () => { answer = true; node.close(); } } }, verb);
    const no = el('button', { type: 'button', on: { click: () => node.close() } }, 'Keep');
    const node = dialog(title, el('p', { class: 'foreign' }, text), el('div', { class: 'buttons end' }, no, yes));
    node.classList.add('small');
    node.addEventListener('close', () => resolve(answer));
    no.focus();
  });
}

/** Ask for the password of something; null when none is given. */
export function askPassword(name) {
  return new Promise(resolve => {
    let answer = null;
    const input = el('input', { type: 'password', id: 'password', required: true, autocomplete: 'off' });
    const form = el('form', { class: 'form', on: { submit: event => { event.preventDefault(); answer = input.value; node.close(); } } },
      el('div', { class: 'field' }, el('label', { for: 'password', class: 'foreign' }, name), input),
      el('div', { class: 'buttons end' }, el('button', { class: 'primary' }, 'Go on')));
    const node = dialog('Password', form);
    node.classList.add('small');
    node.addEventListener('close', () => resolve(answer));
    input.focus();
  });
}

/** A small line graph on a canvas, newest value right; `max` fixes the scale, else the highest value does. */
export function spark(canvas, values, { max = 0, room = 240 } = {}) {
  const ratio = devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const pen = canvas.getContext('2d');
  pen.clearRect(0, 0, width, height);
  if (values.length < 2) return;
  const top = max || Math.max(...values) || 1;
  const step = width / (room - 1);
  const start = width - (values.length - 1) * step;
  const y = value => height - ratio - Math.min(value / top, 1) * (height - 2 * ratio);
  pen.beginPath();
  values.forEach((value, index) => pen.lineTo(start + index * step, y(value)));
  pen.lineWidth = 1.5 * ratio;
  pen.lineJoin = 'round';
  pen.strokeStyle = pen.fillStyle = getComputedStyle(canvas).color;
  pen.stroke();
  pen.lineTo(width, height);
  pen.lineTo(start, height);
  pen.globalAlpha = 0.14;
  pen.fill();
  pen.globalAlpha = 1;
}
