// The live connection: one WebSocket that watches a window of the task list, and the state it carries.
// It reconnects for ever with full-jitter back-off and wakes at once when the network or the page comes back.

import { api, url } from './page.js';

const PROTOCOL = 'taskdeck.v1';
const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
const SILENCE = 40_000; // ms without any message (the server ticks statistics) before the line counts as dead
export const WINDOW = 160; // tasks asked for at once; the page shows some thirty of them

/** A view with the fast-changing part of a tick laid over it. */
function over(view, [, rev, done, total, speed, eta, item, stage]) {
  return { ...view, rev, done, total, speed, eta, item, stage };
}

/** Events: "state" (connecting, live, waiting), "change" (the model moved), "ended" (tasks that ended), "hello". */
export class Live extends EventTarget {
  constructor() {
    super();
    this.tasks = new Map(); // id -> TaskView of the window
    this.order = [];
    this.offset = 0; // place of the window in the whole list
    this.total = 0;
    this.stats = null;
    this.hello = null;
    this.dirty = new Set(); // ids whose view is new
    this.ticked = new Set(); // ids of which only the progress moved
    this.reordered = false;
    this.query = { filter: '', sort: 'state', reverse: false, offset: 0, limit: WINDOW };
    this.state = 'connecting';
    this.tries = 0;
    this.heard = 0;
    addEventListener('online', () => this.wake());
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.wake(); });
    setInterval(() => this.#checkSilence(), 5000);
  }

  open() {
    clearTimeout(this.timer);
    this.#become('connecting');
    const address = url('ws/dashboard').replace(/^http/, 'ws');
    const socket = this.socket = new WebSocket(address, [PROTOCOL]);
    socket.onmessage = event => { this.heard = Date.now(); this.#receive(JSON.parse(event.data)); };
    socket.onopen = () => { this.heard = Date.now(); };
    socket.onclose = () => { if (this.socket === socket) this.#lost(); };
  }

  /** Try again now, without waiting for the timer. */
  wake() {
    if (this.state !== 'waiting') return;
    this.tries = 0;
    this.open();
  }

  /** Look at something else: filter, sort, or another part of the list (`offset`). */
  change(query) {
    this.query = { ...this.query, ...query };
    if (this.state === 'live') this.#send();
  }

  /** Follow one task wherever it is in the list: calls `told(view)` with every change. Returns what ends it. */
  follow(id, told) {
    this.followed = { id, told, view: null };
    if (this.state === 'live') this.#sendFollow();
    return () => {
      this.followed = null;
      if (this.state === 'live') this.socket.send(JSON.stringify({ type: 'close', id: 2 }));
    };
  }

  #sendFollow() {
    const query = { ...this.query, filter: `id:${this.followed.id}`, offset: 0, limit: 1 };
    this.socket.send(JSON.stringify({ type: 'watch', id: 2, watch: { query, hz: 2, stats: false }, fresh: true }));
  }

  #applyFollow(update) {
    const { followed } = this;
    if (!followed) return;
    if (update.rows?.length) [followed.view] = update.rows;
    for (const tick of update.ticks ?? []) if (followed.view) followed.view = over(followed.view, tick);
    if (followed.view) followed.told(followed.view);
  }

  /** The newest rows first seen by a request, such as the answer to a button. */
  patch(view) {
    const known = this.tasks.get(view.id);
    if (!known || known.rev > view.rev) return;
    this.tasks.set(view.id, view);
    this.dirty.add(view.id);
    this.dispatchEvent(new Event('change'));
  }

  #send() {
    this.socket.send(JSON.stringify({ type: 'watch', id: 1, watch: { query: this.query, hz: 2, stats: true } }));
  }

  #receive(message) {
    if (message.type === 'hello') {
      this.tries = 0;
      this.hello = message;
      this.#become('live');
      this.#send();
      if (this.followed) this.#sendFollow();
      this.dispatchEvent(new Event('hello'));
    } else if (message.type === 'update') {
      if (message.id === 2) this.#applyFollow(message.update);
      else this.#apply(message.update);
    } else if (message.type === 'error') {
      this.dispatchEvent(new CustomEvent('problem', { detail: message.error }));
    }
  }

  #apply(update) {
    for (const view of update.rows ?? []) { this.tasks.set(view.id, view); this.dirty.add(view.id); }
    for (const tick of update.ticks ?? []) {
      const view = this.tasks.get(tick[0]);
      if (!view) continue;
      this.tasks.set(view.id, over(view, tick));
      this.ticked.add(view.id);
    }
    if (update.ids) {
      const present = new Set(update.ids);
      for (const id of this.tasks.keys()) if (!present.has(id)) this.tasks.delete(id);
      this.order = update.ids.filter(id => this.tasks.has(id));
      this.reordered = true;
    }
    const { total = 0, offset = 0 } = update; // zeros are left out
    if (total !== this.total || offset !== this.offset) this.reordered = true;
    Object.assign(this, { total, offset });
    if (update.stats) this.stats = update.stats;
    this.fresh = Boolean(update.stats);
    this.dispatchEvent(new Event('change'));
    if (update.ended?.length) this.dispatchEvent(new CustomEvent('ended', { detail: update.ended }));
  }

  #lost() {
    const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(this.tries++, 16));
    this.retryAt = Date.now() + Math.max(200, Math.random() * longest);
    this.timer = setTimeout(() => this.open(), this.retryAt - Date.now());
    this.#become('waiting');
    // A refused upgrade looks like a lost line; only an ordinary request can tell that the session has ended.
    if (this.tries === 2) api('GET', 'api/v1/session').catch(() => {});
  }

  #checkSilence() {
    if (this.state === 'live' && Date.now() - this.heard > SILENCE) this.socket.close();
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event('state'));
  }
}
