// The form of a new task, made from the table of operations the server publishes.

import { api, attempt, dialog, el, freshKey, lookUp, parent, plural, Problem, say, size, toast, uptime, url } from './page.js';

const TYPING = 500; // ms without a change after which an estimate is worth its reading of the disk

let operations = null;

/** Open the form; `preset` is {op, path}. */
export async function open(live, preset = {}) {
  operations ??= await api('GET', 'api/v1/operations');
  const choices = el('div', { class: 'ops', role: 'group', 'aria-label': 'Operation' });
  const summary = el('p', { class: 'hint' });
  const body = el('div', { class: 'form' });
  const estimate = el('p', { class: 'estimate foreign', hidden: true, 'aria-live': 'polite' });
  const problem = el('p', { class: 'error', role: 'alert' });
  const paused = el('input', { type: 'checkbox', id: 'new-paused' });
  const form = el('form', { class: 'form' }, choices, summary, body,
    el('div', { class: 'field check' }, paused, el('label', { for: 'new-paused' }, 'Add it paused')),
    estimate, problem,
    el('div', { class: 'buttons end' }, el('button', { class: 'primary' }, 'Start')));
  const box = dialog('New task', form);
  let fields = [];
  let current = null;
  let key = freshKey();

  function choose(operation) {
    const kept = current ? read(fields) : { path: preset.path };
    current = operation;
    for (const button of choices.children) button.setAttribute('aria-pressed', String(button.dataset.op === operation.name));
    say(summary, operation.summary);
    fields = operation.fields.map(field => new Field(field, fits(field, kept[field.name]) ? kept[field.name] : undefined));
    const late = fields.filter(field => field.about.advanced);
    body.replaceChildren(...fields.filter(field => !field.about.advanced).map(field => field.root));
    if (late.length) body.append(el('details', {}, el('summary', {}, 'More'), el('div', { class: 'form' }, late.map(field => field.root))));
    changed();
  }

  // What is foretold belongs to what was asked: a change asks anew and gives up the question before.
  let asking = null;
  function changed() {
    key = freshKey(); // another wish; the same one, sent again because no answer came, makes no second task
    asking?.abort();
    const { signal } = asking = new AbortController();
    setTimeout(async () => {
      if (signal.aborted || !box.open) return;
      const told = await foretell(current, fields, live, text => tell(text), signal).catch(error => {
        if (signal.aborted) return null;
        if (!(error instanceof Problem)) throw error;
        return { text: error.code === 'task.timeout' ? 'Too much to foretell.' : inWords(error.message, fields), bad: error.code === 'path.missing' };
      });
      if (!signal.aborted && told) tell(told.text, told.bad);
    }, TYPING);
  }
  function tell(text, bad = false) {
    estimate.hidden = !text;
    estimate.classList.toggle('error', bad);
    say(estimate, text);
  }
  box.addEventListener('close', () => asking.abort());

  for (const operation of operations) {
    choices.append(el('button', { type: 'button', data: { op: operation.name }, 'aria-pressed': 'false', on: { click: () => choose(operation) } }, operation.name));
  }
  form.addEventListener('input', changed);
  // The browser says nothing of a wrong value that it cannot show.
  form.addEventListener('invalid', event => { const folded = event.target.closest('details'); if (folded) folded.open = true; }, true);
  form.addEventListener('submit', async event => {
    event.preventDefault();
    say(problem, '');
    try {
      const view = await api('POST', 'api/v1/tasks', {
        operation: { op: current.name, ...read(fields) },
        options: paused.checked ? { paused: true } : {},
      }, { 'Idempotency-Key': key });
      box.close();
      toast(`Queued ${view.title}.`, { action: { href: `#/task/${encodeURIComponent(view.id)}`, label: 'Show' } });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status) key = freshKey(); // what was refused is not repeated under its old key
      say(problem, inWords(error.message, fields));
    }
  });
  choose(operations.find(operation => operation.name === preset.op) ?? operations[0]);
  body.querySelector('input')?.focus();
}

/** What is known before the start: how large the source is; for what is packed, what the archive will come to. */
async function foretell(operation, fields, live, tell, signal) {
  const source = fields.find(field => field.about.accepts === 'source');
  const path = source && !source.about.repeated ? source.value : '';
  if (!path) return { text: '' };
  if (operation.name !== 'zip') return sourceSize(operation, path, live, signal);
  const known = new Set(operations.find(other => other.name === 'estimate').fields.map(field => field.name));
  const asked = Object.fromEntries(Object.entries(read(fields)).filter(([name]) => known.has(name)));
  tell('Estimating …');
  const { answer } = await api('POST', 'api/v1/look', { look: { op: 'estimate', ...asked } }, {}, signal);
  const text = `${plural(answer.files, 'file')}, ${size(answer.original)}, packed about ${size(answer.packed)} in `
    + `${uptime(Math.max(1, answer.seconds))}; ${size(answer.free)} free`;
  return { text: answer.fits ? text : `${text}: it does not fit`, bad: !answer.fits };
}

async function sourceSize(operation, path, live, signal) {
  const entry = await lookUp(path, signal);
  const parts = [entry && !entry.folder && size(entry.size), operation.writes && live.stats && `${size(live.stats.host.disk_free)} free`];
  return { text: parts.filter(Boolean).join(', ') };
}

/** A sentence with this form's labels in place of the options of the command line; commands stay as they are. */
function inWords(text, fields) {
  const labels = new Map(fields.map(({ about }) => [`--${about.name.replaceAll('_', '-')}`, `“${title(about.name)}”`]));
  return text.replace(/`[^`]*`|--[a-z][a-z-]*/g, found => labels.get(found) ?? found);
}

/** Whether a value another operation had under this name is one for this field. */
function fits(about, value) {
  if (about.type === 'bool') return typeof value === 'boolean';
  if (about.repeated) return Array.isArray(value);
  if (about.choices.length) return about.choices.includes(value);
  return ['string', 'number'].includes(typeof value);
}

function read(fields) {
  const values = {};
  for (const field of fields) {
    const value = field.value;
    if (value !== undefined) values[field.about.name] = value;
  }
  return values;
}

class Field {
  constructor(about, value) {
    this.about = about;
    const id = `new-${about.name}`;
    const label = el('label', { for: id }, title(about.name), about.required ? '' : '');
    const help = el('small', { id: `${id}-help` }, about.help);
    this.input = this.#control(id, value);
    this.input.setAttribute('aria-describedby', help.id);
    if (about.type === 'bool') {
      this.root = el('div', { class: 'field check' }, this.input, label, help);
      return;
    }
    const path = ['source', 'target', 'folder'].includes(about.accepts);
    const browse = path && el('button', { type: 'button', on: { click: () => this.#browse() } }, 'Browse');
    const upload = about.accepts === 'source' && el('button', { type: 'button', on: { click: () => this.#upload() } }, 'Upload');
    this.root = el('div', { class: 'field' }, label, el('div', { class: 'pair' }, this.input, browse, upload), help);
  }

  #control(id, value) {
    const { about } = this;
    const common = { id, name: about.name, required: about.required };
    if (about.type === 'bool') return el('input', { ...common, type: 'checkbox', required: false, prop: { checked: value ?? about.default ?? false } });
    if (about.choices.length) {
      const none = about.default === null && !about.required ? [el('option', { value: '' }, 'As in the settings')] : [];
      const wanted = value ?? about.default;
      return el('select', common, none, about.choices.map(choice => el('option', { value: choice, prop: { selected: choice === wanted } }, choice)));
    }
    if (about.repeated) return el('textarea', { ...common, rows: 2, placeholder: 'One a line', prop: { value: (value ?? []).join('\n') } });
    const type = about.accepts === 'secret' ? 'password' : about.type === 'int' || about.type === 'float' ? 'number' : 'text';
    return el('input', {
      ...common, type, min: about.minimum, max: about.maximum, step: about.type === 'float' ? 'any' : undefined,
      autocomplete: type === 'password' ? 'new-password' : 'off', spellcheck: 'false', autocapitalize: 'none',
      prop: { value: value ?? (about.default === null || about.default === undefined ? '' : String(about.default)) },
    });
  }

  /** The value as the API takes it; undefined for "not given". */
  get value() {
    const { about, input } = this;
    if (about.type === 'bool') return input.checked === (about.default ?? false) ? undefined : input.checked;
    if (about.repeated) {
      const lines = input.value.split('\n').map(line => line.trim()).filter(Boolean);
      return lines.length ? lines : undefined;
    }
    if (input.value === '' || (!about.required && input.value === String(about.default))) return undefined;
    if (about.type === 'int' || about.type === 'float') return Number(input.value);
    return input.value;
  }

  set(path) {
    this.input.value = this.about.repeated && this.input.value.trim() ? `${this.input.value.trimEnd()}\n${path}` : path;
    this.input.dispatchEvent(new Event('input', { bubbles: true }));
  }

  #browse() {
    const start = this.about.repeated ? '' : this.input.value;
    browse(start, this.about.accepts, path => this.set(path));
  }

  #upload() {
    const picker = el('input', { type: 'file' });
    picker.addEventListener('change', async () => {
      const [file] = picker.files;
      if (!file) return;
      const path = await attempt(() => send(file));
      if (path) this.set(path);
    });
    picker.click();
  }
}

const title = name => name[0].toUpperCase() + name.slice(1).replaceAll('_', ' ');

/** Send a file of this device to the server, with progress; its path there. */
function send(file) {
  const bar = el('progress', { max: 1, value: 0, 'aria-label': `Sending ${file.name}` });
  const request = new XMLHttpRequest(); // fetch cannot tell how much was sent
  const box = dialog('Sending', el('p', { class: 'foreign' }, `${file.name}, ${size(file.size)}`), bar,
    el('div', { class: 'buttons end' }, el('button', { type: 'button', on: { click: () => request.abort() } }, 'Stop')));
  return new Promise((resolve, reject) => {
    request.upload.onprogress = event => { if (event.lengthComputable) bar.value = event.loaded / event.total; };
    request.onload = () => {
      let answer = {}; // a proxy may refuse with a page of its own
      try { answer = JSON.parse(request.responseText); } catch { /* then its status is all there is to say */ }
      if (request.status < 300 && answer.path) resolve(answer.path);
      else reject(new Problem(request.status, answer));
    };
    request.onerror = () => reject(new Problem(0, { title: 'The file could not be sent.' }));
    request.onabort = () => resolve('');
    request.open('POST', url(`api/v1/uploads?name=${encodeURIComponent(file.name)}`));
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.send(file);
  }).finally(() => box.close());
}

/** The file picker: folders of the server inside its roots. */
function browse(start, accepts, chosen) {
  const crumbs = el('div', { class: 'crumbs' });
  const list = el('ul', { class: 'files', tabindex: 0, 'aria-label': 'Files' });
  const note = el('p', { class: 'hint' });
  const use = el('button', { type: 'button', class: 'primary', on: { click: () => pick(asked) } }, 'Use this folder');
  const box = dialog(accepts === 'source' ? 'Choose a file or folder' : 'Choose a folder', crumbs, list, note, el('div', { class: 'buttons end' }, use));
  let here = '';
  let asked = '';
  const pick = path => { chosen(path); box.close(); };

  async function go(path) {
    const page = await attempt(() => api('GET', `api/v1/files?path=${encodeURIComponent(path)}`));
    if (!page) { if (path && path !== parent(path)) await go(''); return; }
    here = page.path;
    asked = path || here;
    use.disabled = !here;
    const { roots } = page;
    crumbs.replaceChildren(...trail(here, roots).map(([name, target]) => el('button', { type: 'button', on: { click: () => go(target) } }, name)));
    list.replaceChildren(...page.entries.map(entry => {
      const target = here ? join(asked, entry) : entry.uri || entry.name;
      return el('li', {}, el('button', { type: 'button', on: { click: () => entry.folder ? go(target) : accepts === 'source' && pick(target) } },
        el('span', { 'aria-hidden': 'true' }, entry.folder ? '📁' : '📄'), el('span', { class: 'name' }, entry.name), el('small', {}, entry.folder ? '' : size(entry.size))));
    }));
    say(note, page.truncated ? 'Only the first names are shown.' : page.entries.length ? '' : 'The folder is empty.');
    list.scrollTop = 0;
  }

  go(start.endsWith('/') || !start ? start : parent(start));
}

/** The path of an entry; names with odd bytes travel as file: URIs, so that they arrive as they are on disk. */
function join(folder, entry) {
  const base = folder.replace(/\/$/, '');
  const odd = base.startsWith('file://');
  if (!entry.uri && !odd) return `${base}/${entry.name}`;
  const name = entry.uri.startsWith('file://') ? entry.uri.slice(7) : encodeURIComponent(entry.uri || entry.name);
  return `${odd ? base : `file://${base.split('/').map(encodeURIComponent).join('/')}`}/${name}`;
}

function trail(path, roots) {
  const root = roots.filter(item => path === item || path.startsWith(`${item.replace(/\/$/, '')}/`)).sort((a, b) => b.length - a.length)[0];
  const parts = [['All folders', '']];
  if (!root) return parts;
  parts.push([root, root]);
  let built = root.replace(/\/$/, '');
  for (const part of path.slice(root.length).split('/').filter(Boolean)) {
    built += `/${part}`;
    parts.push([part, built]);
  }
  return parts;
}
