// The page of one task: live figures, result, picture, archive tree, who did what when, log.

import { $, amount, api, attempt, clock, el, ENDED, fraction, lookUp, offers, rate, remark, say, size, spark, statusWord, toast, url, verb } from './page.js';
import { create } from './app.js';
import { act } from './cards.js';
import { tree } from './tree.js';

const LOG_EVERY = 2000;
const PICTURE = /\.(jpe?g|png|webp)$/i;

/** Show the task; returns what tidies up. */
export async function show(root, id, live) {
  const base = `api/v1/tasks/${encodeURIComponent(id)}`;
  const detail = await api('GET', `${base}?log_lines=500`);
  if (!root.isConnected) return undefined; // another view was asked for meanwhile
  let { view } = detail;
  const head = new Head(view, live);
  const result = el('div', { class: 'panels' });
  const log = new Log(base, detail.log);
  const events = el('dl', { class: 'keys' });
  root.replaceChildren(
    head.root,
    result,
    el('div', { class: 'panels' },
      panel('Operation', parameters(detail.params), copyable(detail.command)),
      panel('What happened', events)),
    log.root,
  );
  showResult(result, detail, live);
  showEvents(events, detail.events);
  head.show(view, detail.history);

  const unfollow = live.follow(view.id, async now => {
    const changed = now.state !== view.state;
    view = now;
    head.show(now);
    if (!changed) return;
    const fresh = await attempt(() => api('GET', `${base}?log_lines=1`));
    if (!fresh) return;
    showResult(result, fresh, live);
    showEvents(events, fresh.events);
    await log.more();
  });
  const timer = setInterval(() => { if (!ENDED.has(view.state) && !document.hidden) log.more(); }, LOG_EVERY);
  return () => { unfollow(); clearInterval(timer); };
}

function amounts({ done, total, unit, state }) {
  if (total) return state === 'completed' && done === total ? amount(total, unit) : `${amount(done, unit)} / ${amount(total, unit)}`;
  return done ? amount(done, unit) : '–';
}

const panel = (title, ...content) => el('section', { class: 'panel' }, el('h3', {}, title), ...content);

class Head {
  constructor(view, live) {
    this.live = live;
    this.badge = el('span', { class: 'badge' });
    this.title = el('h2', {}, view.title);
    this.fill = el('i');
    this.bar = el('span', { class: 'bar', role: 'progressbar', 'aria-label': `Progress of ${view.title}`, 'aria-valuemin': 0, 'aria-valuemax': 100 }, this.fill);
    this.percent = el('span', { class: 'percent' });
    this.line = el('p', { class: 'foreign hint' });
    this.facts = {};
    const facts = ['Speed', 'ETA', 'Size', 'Started', 'Took', 'CPU', 'Memory'].map(name => el('div', {}, el('dt', {}, name), this.facts[name] = el('dd', {}, '–')));
    this.graph = el('canvas', { class: 'task-graph', role: 'img', 'aria-label': 'Speed over time' });
    this.buttons = el('div', { class: 'buttons' });
    this.speeds = [];
    this.root = el('section', { class: 'panel task-head' },
      el('div', { class: 'page-head' }, el('a', { href: '#/', class: 'button', 'aria-label': 'Back to the tasks' }, '←'), this.title, this.badge),
      el('div', { class: 'run' }, this.bar, this.percent), this.line, el('dl', { class: 'facts many' }, ...facts), this.graph, this.buttons);
  }

  show(view, history) {
    const word = statusWord(view);
    this.root.dataset.status = word;
    say(this.badge, word[0].toUpperCase() + word.slice(1));
    const share = fraction(view);
    this.fill.style.transform = share === null ? '' : `scaleX(${share.toFixed(4)})`;
    if (share === null) this.bar.removeAttribute('aria-valuenow'); else this.bar.setAttribute('aria-valuenow', (share * 100).toFixed(1));
    this.bar.classList.toggle('unknown', share === null && view.state === 'running');
    say(this.percent, share === null ? '' : `${(share * 100).toFixed(share === 1 ? 0 : 1)}%`);
    say(this.line, remark(view));
    this.line.classList.toggle('error', Boolean(view.error));
    const running = view.state === 'running';
    const took = view.started ? (view.finished ?? Date.now() / 1000) - view.started : null;
    const values = {
      Speed: running && view.speed > 0 ? rate(view.speed, view.unit) : '–',
      ETA: running && view.eta !== null ? clock(view.eta) : '–',
      Size: amounts(view),
      Started: view.started ? new Date(view.started * 1000).toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'medium' }) : '–',
      Took: took === null ? '–' : clock(took),
      CPU: view.usage ? `${view.usage.cpu.toFixed(0)}%` : '–',
      Memory: view.usage ? size(view.usage.rss, 0) : '–',
    };
    for (const [name, value] of Object.entries(values)) {
      say(this.facts[name], value);
      this.facts[name].parentElement.hidden = value === '–';
    }
    if (history) this.speeds = history.slice(-240);
    else if (running) { this.speeds.push(view.speed); if (this.speeds.length > 240) this.speeds.shift(); }
    this.graph.hidden = this.speeds.length < 2;
    if (!this.graph.hidden) requestAnimationFrame(() => spark(this.graph, this.speeds, { room: Math.max(60, this.speeds.length) }));
    this.#offer(view);
  }

  #offer(view) {
    const actions = offers(view);
    const wanted = actions.join();
    if (this.offered === wanted) return;
    this.offered = wanted;
    this.buttons.replaceChildren(...actions.map(action => el('button', {
      type: 'button', data: { action }, class: action === 'unlock' ? 'primary' : undefined,
      on: { click: async () => { this.live.tasks.set(view.id, view); if (await act(this.live, [view.id], action) && action === 'remove') location.hash = '#/'; } },
    }, verb(action))));
  }
}

function showResult(box, detail, live) {
  const { view, result, reply } = detail;
  const parts = [];
  if (reply) {
    const files = [];
    if (view.output && view.state === 'completed') {
      const href = url(`api/v1/tasks/${encodeURIComponent(view.id)}/output`);
      const link = el('a', { class: 'button', href, download: '' }, 'Download the result');
      const pack = el('button', { type: 'button', hidden: true, on: { click: () => create({ op: 'zip', path: view.output }) } }, 'Pack the result');
      files.push(link, pack);
      // A folder cannot be sent as it is.
      lookUp(view.output).then(found => { pack.hidden = !found?.folder; link.hidden = !pack.hidden; }, () => {});
      if (PICTURE.test(view.output)) parts.push(panel('Picture', el('img', { class: 'picture', src: href, alt: `Made from ${view.title}` })));
    }
    parts.unshift(panel('Result', el('pre', { class: 'reply' }, reply), files.length ? el('div', { class: 'buttons' }, ...files) : null));
  } else if (view.error?.detail) {
    parts.push(panel('Details of the error', el('pre', { class: 'reply' }, view.error.detail)));
  }
  if (Array.isArray(result?.members) && result.members.length) parts.push(tree(detail, live));
  box.replaceChildren(...parts);
  box.hidden = !parts.length;
}

function parameters(params) {
  const rows = Object.entries(params).filter(([, value]) => value !== null && value !== '' && !(Array.isArray(value) && !value.length));
  return el('dl', { class: 'keys' }, rows.map(([name, value]) => [el('dt', {}, name.replaceAll('_', ' ')), el('dd', {}, Array.isArray(value) ? value.join(', ') : String(value))]));
}

function copyable(command) {
  const copy = async () => {
    try { await navigator.clipboard.writeText(command); toast('Copied.'); } catch { toast('The browser does not allow copying without TLS; select the text instead.', { bad: true }); }
  };
  return el('div', { class: 'copy' }, el('code', {}, command), el('button', { type: 'button', on: { click: copy } }, 'Copy'));
}

function showEvents(box, events) {
  box.replaceChildren(...events.flatMap(event => [
    el('dt', {}, new Date(event.at * 1000).toLocaleTimeString()),
    el('dd', {}, event.type.replaceAll('_', ' '), event.actor ? ` · ${event.actor}${event.face ? ` (${event.face})` : ''}` : ''),
  ]));
}

class Log {
  constructor(base, lines) {
    this.base = base;
    this.after = 0;
    this.pre = el('pre', { class: 'log', tabindex: 0, role: 'log', 'aria-label': 'Log of the task' }, lines.map(line => `${line}\n`).join(''));
    this.root = panel('Log', this.pre);
    this.root.hidden = !lines.length;
    this.first = true;
    this.reading = Promise.resolve();
  }

  /** Add what is new: one reader after the other, or two would add the same lines. */
  more() {
    return this.reading = this.reading.catch(() => {}).then(() => this.#read());
  }

  async #read() {
    const page = await attempt(() => api('GET', `${this.base}/log?after=${this.after}`));
    if (!page) return;
    const atEnd = this.pre.scrollTop + this.pre.clientHeight >= this.pre.scrollHeight - 8;
    this.after = page.after;
    if (!page.lines.length) return;
    if (this.first) { this.pre.replaceChildren(); this.first = false; } // the first page holds what the detail had
    this.root.hidden = false;
    this.pre.append(page.lines.map(line => `${line}\n`).join(''));
    if (atEnd) this.pre.scrollTop = this.pre.scrollHeight;
  }
}
