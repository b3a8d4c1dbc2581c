// The entry of the page: routes between views, header, statistics, filters, shortcuts, notifications.

import { $, attempt, el, offers, plural, rate, say, size, spark, toast, uptime } from './page.js';
import { Live } from './live.js';
import { act, Cards } from './cards.js';

export const live = new Live();
const cards = new Cards(live);
const series = { speed: [], cpu: [], memory: [] };
const ROOM = 240; // two minutes at two updates a second

// ---- painting: the model changes at once, the document once a frame

let frame = 0;
live.addEventListener('change', () => {
  if (live.fresh) remember(live.stats);
  if (!frame) frame = requestAnimationFrame(paint);
});

function paint() {
  frame = 0;
  if (live.stats) showStats(live.stats); // first: its graphs ask for sizes, which is free before anything changed
  cards.draw();
  say($('count'), live.total ? live.total.toLocaleString('en-US') : '');
}

function remember(stats) {
  live.fresh = false;
  for (const [name, value] of [['speed', stats.total_speed], ['cpu', stats.host.cpu], ['memory', stats.host.memory]]) {
    const values = series[name];
    values.push(value);
    if (values.length > ROOM) values.shift();
  }
}

function showStats(stats) {
  const { host, counts } = stats;
  say($('stat-active'), String(stats.active_tasks));
  say($('stat-active-more'), `${(counts.queued ?? 0) + (counts.waiting ?? 0)} waiting · ${counts.paused ?? 0} paused`);
  say($('stat-speed'), rate(stats.total_speed));
  say($('stat-downloads'), String(stats.total_downloads));
  say($('stat-completed'), `${stats.completed_today} done today`);
  say($('stat-uploads'), String(stats.total_uploads));
  say($('stat-failed'), `${stats.failed_today} failed today`);
  say($('sys-cpu'), `${host.cpu.toFixed(0)}%`);
  say($('sys-load'), `load ${host.load[0].toFixed(2)} · ${plural(host.cores, 'core')}`);
  say($('sys-memory'), `${host.memory.toFixed(0)}%`);
  say($('sys-memory-more'), `${size(host.memory_used, 1)} of ${size(host.memory_total, 1)}`);
  say($('sys-disk'), `${host.disk.toFixed(0)}%`);
  say($('sys-disk-more'), `${size(host.disk_free, 1)} free`);
  $('bar-disk').style.transform = `scaleX(${Math.min(host.disk / 100, 1).toFixed(3)})`;
  say($('sys-uptime'), uptime(host.uptime));
  say($('sys-net'), `↓ ${size(host.net_in, 0)}/s ↑ ${size(host.net_out, 0)}/s`);
  const notice = stats.notices.join(' ');
  say($('notice'), notice);
  $('notice').hidden = !notice;
  if (!$('graph-speed').offsetParent) return;
  const room = Math.max(30, series.cpu.length); // fills its width soon after the page was opened
  spark($('graph-speed'), series.speed, { room });
  spark($('graph-cpu'), series.cpu, { max: 100, room });
  spark($('graph-memory'), series.memory, { max: 100, room });
}

// ---- the connection

live.addEventListener('state', showConnection);
setInterval(() => { if (live.state === 'waiting') showConnection(); }, 1000);

function showConnection() {
  const node = $('connection');
  node.dataset.state = live.state;
  const left = Math.max(0, Math.ceil((live.retryAt - Date.now()) / 1000));
  say(node.lastElementChild, live.state === 'live' ? 'Connected' : live.state === 'connecting' ? 'Connecting' : 'Reconnecting');
  node.title = live.state === 'waiting' ? `Trying again in ${left} s` : '';
  document.body.classList.toggle('stale', live.state !== 'live');
}

let version = null;
live.addEventListener('hello', () => {
  if (version && live.hello.version !== version) {
    toast(`Taskdeck is now ${live.hello.version}.`, { action: { href: '', label: 'Reload' } });
  }
  version = live.hello.version;
});
live.addEventListener('problem', event => toast(event.detail.message, { bad: true }));

// ---- filter, sort, selection

function look(query) {
  cards.rewind();
  live.change(query);
}

const chips = [...$('chips').children];
let typing = 0;

function applyFilter() {
  const chip = chips.find(node => node.getAttribute('aria-pressed') === 'true');
  look({ filter: [chip.dataset.filter, $('search').value.trim()].filter(Boolean).join(' ') });
}

$('chips').addEventListener('click', event => {
  const chosen = event.target.closest('button');
  if (!chosen) return;
  for (const chip of chips) chip.setAttribute('aria-pressed', String(chip === chosen));
  applyFilter();
});
$('search').addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(applyFilter, 150); });
$('filters').addEventListener('submit', event => { event.preventDefault(); applyFilter(); });
$('sort').addEventListener('change', () => look({ sort: $('sort').value }));
$('reverse').addEventListener('click', () => look({ reverse: press($('reverse')) }));
$('select').addEventListener('click', () => selecting(press($('select'))));

function press(button, on = button.getAttribute('aria-pressed') !== 'true') {
  button.setAttribute('aria-pressed', String(on));
  return on;
}

function selecting(on) {
  press($('select'), on);
  document.body.classList.toggle('selecting', on);
  if (!on) cards.none();
  showSelection();
}

function showSelection() {
  const count = cards.selected.size;
  $('bulk').hidden = !count && !document.body.classList.contains('selecting');
  say($('bulk-count'), `${count.toLocaleString('en-US')} selected`);
  for (const button of $('bulk').querySelectorAll('[data-bulk]')) button.disabled = !count;
}

cards.addEventListener('selection', () => queueMicrotask(showSelection));
$('select-all').addEventListener('click', () => cards.all());
$('select-none').addEventListener('click', () => selecting(false));
$('bulk').addEventListener('click', async event => {
  const action = event.target.dataset?.bulk;
  if (!action) return;
  await act(live, [...cards.selected], action);
  selecting(false);
});

// ---- views: the tasks are always there, the others are loaded when asked for

const VIEWS = { task: './task.js', history: './history.js', settings: './settings.js' };
let leave = null;

async function route() {
  const [, name = '', argument = ''] = location.hash.match(/^#\/(\w*)\/?(.*)$/) ?? [];
  if (name === 'new') { history.replaceState(null, '', '#/'); create(); }
  const other = VIEWS[name];
  leave?.();
  leave = null;
  document.querySelector('[data-view=tasks]').hidden = Boolean(other);
  $('view').hidden = !other;
  for (const link of document.querySelectorAll('[data-nav]')) {
    const here = link.dataset.nav === (other ? name : 'tasks');
    if (here) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
  const root = el('div');
  $('view').replaceChildren(root);
  if (!other) return;
  const module = await import(other);
  const tidy = await attempt(() => module.show(root, decoded(argument), live));
  if (!root.isConnected) { tidy?.(); return; } // another view was asked for meanwhile
  leave = tidy;
  $('view').focus({ preventScroll: true });
  scrollTo(0, 0);
}

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; } // an address that was mistyped
}

addEventListener('hashchange', route);

export async function create(preset) {
  const module = await import('./create.js');
  await attempt(() => module.open(live, preset));
}
$('new').addEventListener('click', () => create());
$('empty-new').addEventListener('click', () => create());

// ---- theme: a cookie, so that the server sends the page in the right colours at once

export function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  const path = new URL('.', document.baseURI).pathname;
  document.cookie = `taskdeck_theme=${name}; path=${path}; SameSite=Strict; max-age=${name ? 31536000 : 0}`;
}
const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
$('theme').addEventListener('click', () => theme(isDark() ? 'light' : 'dark'));

// ---- tasks that ended: a line on the page, and a notification when it is not looked at

live.addEventListener('ended', event => {
  for (const task of event.detail.slice(-3)) {
    const word = { completed: 'completed', failed: 'failed', cancelled: 'was cancelled' }[task.state];
    toast(`${task.op} ${task.title} ${word}.`, { bad: task.state === 'failed', action: { href: `#/task/${encodeURIComponent(task.id)}`, label: 'Show' } });
    if (document.hidden && localStorage.getItem('notify') === 'on' && globalThis.Notification?.permission === 'granted') notify(task, word);
  }
});

async function notify(task, word) {
  const registration = await navigator.serviceWorker?.getRegistration();
  const options = { body: task.error?.message ?? task.title, tag: task.id, icon: new URL('icon.svg', import.meta.url).href };
  const title = `${task.op} ${word}`;
  if (registration) await registration.showNotification(title, options); // phones allow no other way
  else new Notification(title, options);
}

// ---- shortcuts: single keys, off while typing, and switchable (WCAG 2.1.4)

const KEYS = {
  '/': () => $('search').focus(),
  n: () => create(),
  j: () => cards.step(1),
  k: () => cards.step(-1),
  x: () => { if (cards.focused) { if (!cards.selected.size) selecting(true); cards.toggle(cards.focused.dataset.id); } },
  a: () => { selecting(true); cards.all(); },
  p: () => onFocused(task => task.actions.includes('pause') ? 'pause' : 'resume'),
  c: () => onFocused(() => 'cancel'),
  r: () => onFocused(() => 'retry'),
  u: () => onFocused(() => 'unlock'),
  t: () => $('theme').click(),
  h: () => { location.hash = '#/history'; },
  d: () => { location.hash = '#/'; },
  Escape: () => { if (cards.selected.size || document.body.classList.contains('selecting')) selecting(false); },
  '?': async () => (await import('./settings.js')).shortcuts(),
};

function onFocused(choose) {
  const ids = cards.selected.size ? [...cards.selected] : cards.focused ? [cards.focused.dataset.id] : [];
  if (!ids.length) return;
  const first = ids.map(id => live.tasks.get(id)).find(Boolean); // of many selected ones, some may be far away
  if (!first) return;
  const action = choose(first);
  if (offers(first).includes(action)) act(live, action === 'unlock' ? [first.id] : ids, action);
}

document.addEventListener('keydown', event => {
  if (event.key === 'Escape' && event.target === $('search')) { $('search').blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (event.target.closest?.('input:not([type=checkbox]), textarea, select') || localStorage.getItem('keys') === 'off') return;
  const run = KEYS[event.key];
  if (!run) return;
  event.preventDefault();
  run();
});

// ---- the installable app

if (globalThis.isSecureContext && navigator.serviceWorker) {
  const address = new URL('sw.js', document.baseURI).href;
  const policy = globalThis.trustedTypes?.createPolicy('taskdeck', {
    createScriptURL: value => { if (value === address) return value; throw new TypeError(`not our script: ${value}`); },
  });
  addEventListener('load', () => navigator.serviceWorker.register(policy ? policy.createScriptURL(address) : address).catch(() => {}));
}

showConnection();
live.open();
route();
