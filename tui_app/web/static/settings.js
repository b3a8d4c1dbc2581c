// This browser's settings, the installable app, and who may come in.

import { api, attempt, confirm, dialog, el, toast, when } from './page.js';
import { theme } from './app.js';

const KEYS = [
  ['/', 'Search'], ['n', 'New task'], ['j / k', 'Next / previous task'], ['Enter', 'Open the task'], ['x', 'Select the task'],
  ['a', 'Select all'], ['Esc', 'Select none'], ['p', 'Pause or resume'], ['c', 'Cancel'], ['r', 'Retry'], ['u', 'Give the password'], ['t', 'Light or dark'],
  ['d', 'Tasks'], ['h', 'History'], ['?', 'This list'],
];

/** The list of keyboard shortcuts, in a dialog. */
export function shortcuts() {
  dialog('Keyboard', keys());
}

const keys = () => el('dl', { class: 'keys many' }, KEYS.map(([key, what]) => el('div', {}, el('dt', {}, el('kbd', {}, key)), el('dd', {}, what))));
const panel = (title, ...content) => el('section', { class: 'panel' }, el('h3', {}, title), ...content);

/** Show the settings. */
export async function show(root, _argument, live) {
  const session = await api('GET', 'api/v1/session');
  const admin = session.scope === 'admin';
  root.replaceChildren(
    el('div', { class: 'page-head' }, el('h2', {}, 'Settings'),
      session.kind === 'session' ? el('button', { type: 'button', on: { click: leave } }, 'Sign out') : null),
    el('div', { class: 'panels' },
      appearance(), notifications(), installation(),
      panel('This connection', el('dl', { class: 'keys' },
        row('Server', `Taskdeck ${live.hello?.version ?? ''}`), row('Signed in as', `${session.name} (${session.scope})`),
        row('Until', session.expires ? when(session.expires) : 'revoked'),
        row('Transport', session.secure ? 'TLS' : 'not encrypted by this server'))),
      el('section', { class: 'panel wide' }, el('h3', {}, 'Keyboard'), toggle('keys', 'Single-key shortcuts', 'on', 'off'), keys()),
      admin ? await logins() : null, admin ? await tokens() : null, admin ? await audit() : null));
}

const row = (name, value) => [el('dt', {}, name), el('dd', {}, value)];

async function leave() {
  await attempt(() => api('POST', 'auth/logout', {}));
  location.assign('login');
}

function appearance() {
  const now = document.documentElement.dataset.theme ?? '';
  return panel('Colours', el('div', { class: 'field' }, el('label', { for: 'set-theme' }, 'Theme'),
    el('select', { id: 'set-theme', on: { change: event => theme(event.target.value) } },
      [['', 'As the system'], ['light', 'Light'], ['dark', 'Dark']].map(([value, name]) => el('option', { value, prop: { selected: value === now } }, name)))));
}

function toggle(key, label, on, fallback, change) {
  const box = el('input', { type: 'checkbox', id: `set-${key}`, prop: { checked: (localStorage.getItem(key) ?? (fallback === 'off' ? on : fallback)) === on } });
  box.addEventListener('change', async () => {
    if (box.checked && change && !await change()) { box.checked = false; return; }
    localStorage.setItem(key, box.checked ? on : 'off');
  });
  return el('div', { class: 'field check' }, box, el('label', { for: box.id }, label));
}

const NEEDS_TLS = 'Browsers allow this only over HTTPS or on localhost: set web.tls_certificate, or use a reverse proxy with TLS.';

function notifications() {
  if (!isSecureContext || !globalThis.Notification) return panel('Notifications', el('p', { class: 'hint' }, NEEDS_TLS));
  return panel('Notifications', toggle('notify', 'Tell me when a task ends while I look elsewhere', 'on', 'never', async () => {
    const answer = await Notification.requestPermission();
    if (answer !== 'granted') toast('The browser does not allow notifications from this page.', { bad: true });
    return answer === 'granted';
  }), el('p', { class: 'hint' }, 'While this page is open. For messages when it is closed, connect the Telegram bot.'));
}

function installation() {
  const ready = isSecureContext && navigator.serviceWorker;
  return panel('App', el('p', { class: 'hint' }, ready
    ? 'Install this page from the browser’s menu (“Install” or “Add to home screen”) to have it as an app.'
    : `Installing as an app: ${NEEDS_TLS}`));
}

/** "Chrome 156 on Linux" from what a browser says of itself; all of it when it is none we know. */
function agent(text) {
  const name = ['Firefox', 'Edg', 'OPR', 'Chrome', 'Version'].map(word => text.match(new RegExp(`(${word})/(\\d+)`))).find(Boolean);
  const system = text.match(/Android|iPhone|iPad|Windows|Macintosh|Linux/)?.[0];
  const known = { Edg: 'Edge', OPR: 'Opera', Version: 'Safari' };
  return name ? `${known[name[1]] ?? name[1]} ${name[2]}${system ? ` on ${system}` : ''}` : text;
}

async function logins() {
  const box = el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Signed-in browsers' });
  const draw = async () => {
    const sessions = await api('GET', 'api/v1/sessions');
    box.replaceChildren(sessions.length ? table(['Who', 'Where', 'Last seen', ''], sessions.map(item => [
      `${item.name} (${item.scope})${item.current ? ', this one' : ''}`, `${item.address} ${agent(item.agent)}`, when(item.seen),
      revoke(`api/v1/sessions/${encodeURIComponent(item.id)}`, 'Sign out', item.name, draw),
    ])) : el('p', { class: 'hint' }, 'None.'));
  };
  await draw();
  return el('section', { class: 'panel wide' }, el('h3', {}, 'Signed-in browsers'), box);
}

async function tokens() {
  const box = el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Tokens' });
  const name = el('input', { id: 'token-name', required: true, maxlength: 60, autocomplete: 'off', placeholder: 'backup script' });
  const scope = el('select', { 'aria-label': 'Scope' }, ['read', 'control', 'admin'].map(word => el('option', { value: word }, word)));
  const draw = async () => {
    const found = await api('GET', 'api/v1/tokens');
    box.replaceChildren(found.length ? table(['Name', 'Scope', 'Made', 'Last used', ''], found.map(item => [
      item.name, item.scope, when(item.created), item.seen ? when(item.seen) : 'never',
      revoke(`api/v1/tokens/${encodeURIComponent(item.id)}`, 'Revoke', item.name, draw),
    ])) : el('p', { class: 'hint' }, 'None yet. A token lets a program use the API.'));
  };
  const form = el('form', { class: 'form', on: { submit: async event => {
    event.preventDefault();
    const made = await attempt(() => api('POST', 'api/v1/tokens', { name: name.value.trim(), scope: scope.value }));
    if (!made) return;
    name.value = '';
    dialog('New token', el('p', {}, 'Copy it now: it is not stored and cannot be shown again.'), el('div', { class: 'copy' }, el('code', {}, made.token)));
    await draw();
  } } }, el('div', { class: 'field' }, el('label', { for: 'token-name' }, 'New token for'), el('div', { class: 'pair' }, name, scope, el('button', {}, 'Make'))));
  await draw();
  return el('section', { class: 'panel wide' }, el('h3', {}, 'Tokens for programs'), box, form);
}

async function audit() {
  const entries = await api('GET', 'api/v1/audit?limit=50');
  return el('section', { class: 'panel wide' }, el('h3', {}, 'Access log'), el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Access log' },
    entries.length ? table(['When', 'What', 'Who', 'From'], entries.map(item => [when(item.at), `${item.event.replaceAll('_', ' ')}${item.detail ? `: ${item.detail}` : ''}`, item.actor, item.address])) : el('p', { class: 'hint' }, 'Empty.')));
}

function table(head, rows) {
  return el('table', {}, el('thead', {}, el('tr', {}, head.map(name => el('th', { scope: 'col' }, name || el('span', { class: 'hidden' }, 'Actions'))))),
    el('tbody', {}, rows.map(cells => el('tr', {}, cells.map((cell, index) => el('td', { class: index === 1 ? 'name' : undefined }, cell))))));
}

function revoke(path, verb, name, then) {
  return el('button', { type: 'button', 'aria-label': `${verb} ${name}`, on: { click: async () => {
    if (!await confirm(`${verb}?`, name, verb)) return;
    if (await attempt(async () => { await api('DELETE', path); return true; })) await attempt(then);
  } } }, verb);
}
