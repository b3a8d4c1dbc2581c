// The list of task cards: one element for each task near the screen, changed in place; never rebuilt. The list is as
// tall as all tasks are; which of them the server tells about follows the scroll.

import { $, amount, api, askPassword, attempt, clock, confirm, ENDED, fraction, offers, plural, rate, remark, say, statusWord, toast } from './page.js';

const template = $('card-template').content.firstElementChild;
const list = $('tasks');
const STEP = 40; // windows begin at multiples of this, so that browsers share them at the server
const BEFORE = 60; // tasks kept above the first one on the screen
const MOST_SELECTED = 10_000; // what one request may act on
const TALLEST = 16_000_000; // px; browsers cannot lay out taller elements

class Card {
  constructor(id) {
    const root = this.root = template.cloneNode(true);
    root.dataset.id = id;
    this.box = root.querySelector('input');
    this.boxLabel = root.querySelector('.mark .hidden');
    this.link = root.querySelector('h3 a');
    this.link.href = `#/task/${encodeURIComponent(id)}`;
    this.op = root.querySelector('.op');
    this.badge = root.querySelector('.badge');
    this.bar = root.querySelector('.bar');
    this.fill = this.bar.firstElementChild;
    this.percent = root.querySelector('.percent');
    [this.progress, this.speed, this.eta, this.size] = root.querySelectorAll('.facts dd');
    this.line = root.querySelector('.line');
    this.buttons = [...root.querySelectorAll('.buttons button')];
    this.shown = null;
    this.near = true;
    this.stale = false;
  }

  show(task) {
    const old = this.shown;
    if (!old || old.title !== task.title) this.#name(task);
    if (!old || old.state !== task.state || old.actions !== task.actions || old.reason !== task.reason) this.#state(task);
    const share = fraction(task);
    const text = share === null ? '' : `${(share * 100).toFixed(share === 1 ? 0 : 1)}%`;
    if (!old || share !== this.share) {
      this.share = share;
      this.fill.style.transform = share === null ? '' : `scaleX(${share.toFixed(4)})`;
      if (share === null) this.bar.removeAttribute('aria-valuenow');
      else this.bar.setAttribute('aria-valuenow', (share * 100).toFixed(1));
    }
    this.bar.classList.toggle('unknown', share === null && task.state === 'running');
    say(this.percent, text);
    say(this.progress, text || '–');
    say(this.speed, task.state === 'running' && task.speed > 0 ? rate(task.speed, task.unit) : '–');
    say(this.eta, task.state === 'running' && task.eta !== null && task.eta !== undefined ? clock(task.eta) : '–');
    say(this.size, task.total ? `${amount(task.done, task.unit)} / ${amount(task.total, task.unit)}` : task.done ? amount(task.done, task.unit) : '–');
    say(this.line, remark(task) || '\u00a0');
    this.shown = task;
  }

  mark(on) {
    this.box.checked = on;
    this.root.classList.toggle('selected', on);
  }

  #name(task) {
    say(this.link, task.title);
    say(this.op, task.op);
    say(this.boxLabel, `Select ${task.title}`);
    this.bar.setAttribute('aria-label', `Progress of ${task.title}`);
    for (const button of this.buttons) button.setAttribute('aria-label', `${button.textContent} ${task.title}`);
  }

  #state(task) {
    const word = statusWord(task);
    say(this.badge, word[0].toUpperCase() + word.slice(1));
    this.root.dataset.status = word;
    const allowed = offers(task);
    const ended = ENDED.has(task.state);
    const locked = allowed.includes('unlock');
    this.root.classList.toggle('ended', ended);
    for (const button of this.buttons) {
      const action = button.dataset.action;
      const late = action === 'retry' || action === 'remove';
      if (action === 'unlock') button.hidden = !locked;
      else if (action === 'resume') button.hidden = ended || locked; // the password takes its place
      else button.hidden = late ? !ended || !allowed.includes(action) : ended;
      button.disabled = !allowed.includes(action);
    }
  }
}

/** Ask for an action on some tasks (a password: for one), after a question where it cannot be taken back; whether all did it. */
export async function act(live, ids, action) {
  const tasks = ids.map(id => live.tasks.get(id)).filter(Boolean);
  const name = tasks.length === 1 ? tasks[0].title : plural(ids.length, 'task');
  if (action === 'cancel' && !await confirm(`Cancel ${plural(ids.length, 'task')}?`, `${name}: what is half done is removed.`, 'Cancel it')) return false;
  if (action === 'remove' && !await confirm(`Remove from the history?`, `${name}: outputs stay where they are.`, 'Remove')) return false;
  if (action === 'unlock') {
    const password = await askPassword(name);
    return password !== null && attempt(async () => live.patch(await api('POST', `api/v1/tasks/${encodeURIComponent(ids[0])}/unlock`, { secrets: { password } })));
  }
  return attempt(async () => {
    if (ids.length === 1 && action !== 'remove') {
      const view = await api('POST', `api/v1/tasks/${encodeURIComponent(ids[0])}/control`, { action });
      if (view?.id) live.patch(view);
      return true;
    }
    const answer = await api('POST', 'api/v1/tasks/bulk', { action, ids });
    const { outcomes } = answer;
    const bad = outcomes.filter(outcome => !outcome.ok);
    for (const outcome of outcomes) if (outcome.view) live.patch(outcome.view);
    if (bad.length) toast(`${bad.length} of ${outcomes.length}: ${bad[0].error?.message ?? 'refused'}`, { bad: true });
    return !bad.length;
  });
}

/** Draws the window of a `Live` into the list; owns the selection. */
export class Cards extends EventTarget {
  constructor(live) {
    super();
    this.live = live;
    this.cards = new Map();
    this.selected = new Set();
    this.eyes = new IntersectionObserver(entries => this.#looked(entries), { rootMargin: '400px' });
    this.columns = 1;
    this.row = 0;
    this.scrolled = 0;
    list.addEventListener('click', event => this.#click(event));
    list.addEventListener('change', event => this.#mark(event));
    addEventListener('scroll', () => { this.scrolled ||= requestAnimationFrame(() => this.#follow()); }, { passive: true });
    new ResizeObserver(() => { this.row = 0; this.#place(); this.#follow(); }).observe($('main'));
  }

  draw() {
    const { live } = this;
    if (live.reordered) {
      live.reordered = false;
      this.#arrange(live.order);
      this.#place();
      this.#follow();
    }
    for (const id of live.dirty) this.#show(id);
    for (const id of live.ticked) {
      const card = this.cards.get(id);
      // What nobody sees need not move. It is drawn when it comes near.
      if (card?.near) this.#show(id);
      else if (card) card.stale = true;
    }
    live.dirty.clear();
    live.ticked.clear();
    const none = live.total === 0 && live.state === 'live';
    $('empty').hidden = !none;
    if (none) say($('empty').firstElementChild, live.query.filter ? 'No task matches this filter.' : 'No tasks yet.');
    $('empty-new').hidden = Boolean(live.query.filter);
  }

  /** Begin at the top of the list, for another filter or order. */
  rewind() {
    const top = list.getBoundingClientRect().top;
    if (top < 0) scrollBy(0, top - 160);
    this.live.query.offset = 0;
  }

  #measure() {
    const style = getComputedStyle(list);
    this.columns = style.gridTemplateColumns.split(' ').length;
    this.row = parseFloat(style.gridAutoRows) + parseFloat(style.rowGap);
  }

  /** Give the list the height of all tasks, and its cards their place in it. */
  #place() {
    if (!list.offsetParent) return;
    if (!this.row) this.#measure();
    const { columns, row, live } = this;
    const most = Math.floor(TALLEST / row) * columns;
    const rows = Math.ceil(Math.min(live.total, most) / columns);
    list.style.height = rows ? `${rows * row}px` : '';
    list.style.paddingTop = `${Math.floor(live.offset / columns) * row}px`;
    live.order.forEach((id, index) => {
      const { root } = this.cards.get(id);
      root.style.gridColumnStart = index ? '' : live.offset % columns + 1;
      root.setAttribute('aria-posinset', live.offset + index + 1);
      root.setAttribute('aria-setsize', live.total);
    });
    const cut = live.total - most;
    $('cut').hidden = cut <= 0;
    if (cut > 0) say($('cut'), `${plural(cut, 'more task')} not shown: search or filter to see them.`);
  }

  /** Ask for the part of the list that is on the screen, with some around it. */
  #follow() {
    this.scrolled = 0;
    if (!list.offsetParent || !this.row) return;
    const { live, columns, row } = this;
    const above = Math.max(0, -list.getBoundingClientRect().top);
    const first = Math.min(Math.floor(above / row) * columns, Math.max(0, live.total - 1));
    const now = live.query.offset;
    // Near enough to where the window is: it does not move to and fro over every border.
    if (first >= now + (now && STEP / 2) && first < now + BEFORE + STEP) return;
    const offset = Math.max(0, Math.floor((first - BEFORE) / STEP + 1) * STEP);
    if (offset !== now) live.change({ offset });
  }

  #show(id) {
    const task = this.live.tasks.get(id);
    const card = this.cards.get(id);
    if (!task || !card) return;
    card.stale = false;
    card.show(task);
  }

  #looked(entries) {
    for (const { target, isIntersecting } of entries) {
      const card = this.cards.get(target.dataset.id);
      if (!card) continue;
      card.near = isIntersecting;
      if (isIntersecting && card.stale) this.#show(target.dataset.id);
    }
  }

  /** Put the elements into order with as few moves as a forward walk allows. */
  #arrange(order) {
    const wanted = new Set(order);
    for (const [id, card] of this.cards) {
      if (wanted.has(id)) continue;
      card.root.remove();
      this.eyes.unobserve(card.root);
      this.cards.delete(id);
    }
    let next = list.firstElementChild;
    for (const id of order) {
      let card = this.cards.get(id);
      if (!card) {
        card = new Card(id);
        card.show(this.live.tasks.get(id));
        card.mark(this.selected.has(id));
        this.cards.set(id, card);
        this.eyes.observe(card.root);
      }
      if (card.root === next) next = next.nextElementSibling;
      else if (next && next.nextElementSibling === card.root) { const gone = next; list.append(gone); next = card.root.nextElementSibling; }
      else list.insertBefore(card.root, next);
    }
  }

  async #click(event) {
    const button = event.target.closest('button[data-action]');
    const card = event.target.closest('.card');
    if (!card) return;
    if (button) {
      button.disabled = true;
      await act(this.live, [card.dataset.id], button.dataset.action);
      const task = this.live.tasks.get(card.dataset.id);
      if (task) button.disabled = !offers(task).includes(button.dataset.action);
    } else if (event.shiftKey && this.last && event.target.matches('.mark, .mark *')) {
      const order = this.live.order;
      const [from, to] = [order.indexOf(this.last), order.indexOf(card.dataset.id)].sort((a, b) => a - b);
      for (const id of order.slice(from, to + 1)) this.toggle(id, true);
    }
  }

  #mark(event) {
    const id = event.target.closest('.card').dataset.id;
    this.toggle(id, event.target.checked);
    this.last = id;
  }

  toggle(id, on = !this.selected.has(id)) {
    this.selected[on ? 'add' : 'delete'](id);
    this.cards.get(id)?.mark(on);
    this.#told();
  }

  none() {
    for (const id of [...this.selected]) this.toggle(id, false);
  }

  /** Select every task the filter matches, also those far from the screen. */
  async all() {
    const { filter, sort } = this.live.query;
    let cursor = '';
    while (cursor !== null && this.selected.size < MOST_SELECTED) {
      const asked = new URLSearchParams({ filter, sort: sort === 'state' ? 'created' : sort, limit: 500, ...(cursor && { cursor }) });
      const page = await attempt(() => api('GET', `api/v1/tasks?${asked}`));
      if (!page) return;
      for (const { id } of page.items) this.toggle(id, true);
      cursor = page.next_cursor;
    }
  }

  #told() { this.dispatchEvent(new Event('selection')); }

  /** The card with the keyboard focus, or null. */
  get focused() { return document.activeElement?.closest?.('.card') ?? null; }

  /** Move the keyboard focus to another card. */
  step(by) {
    const now = this.focused;
    const target = now ? (by > 0 ? now.nextElementSibling : now.previousElementSibling) : list.firstElementChild;
    target?.querySelector('h3 a').focus();
  }
}
