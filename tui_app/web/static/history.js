// The history: charts over the last days, a table of ended tasks, and exports.

import { $, amount, api, attempt, clock, el, plural, size, statusWord, url, when } from './page.js';

const PAGE = 50;

/** Show the history. */
export async function show(root) {
  const search = el('input', { type: 'search', 'aria-label': 'Filter the history', placeholder: 'Filter, such as kind:zip since:7d', maxlength: 500, spellcheck: 'false' });
  const days = el('select', { 'aria-label': 'Days in the charts' }, [7, 30, 90].map(count => el('option', { value: count, prop: { selected: count === 30 } }, `Last ${count} days`)));
  const exports = ['csv', 'json'].map(format => el('a', { class: 'button', download: '' }, `Export ${format.toUpperCase()}`));
  const charts = el('div', { class: 'panels' });
  const body = el('tbody');
  const count = el('span', { class: 'count' });
  const more = el('button', { type: 'button', on: { click: () => load(false) } }, 'Show more');
  let cursor = '';
  let asked = 0;
  let timer = 0;

  root.replaceChildren(
    el('div', { class: 'bar-top' }, el('h2', {}, 'History ', count), el('form', { class: 'filters', role: 'search', on: { submit: event => event.preventDefault() } }, search, days, exports)),
    charts,
    el('section', { class: 'panel' }, el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Ended tasks' }, el('table', { class: 'rows' },
      el('thead', {}, el('tr', {}, ['Name', 'Operation', 'Status'].map(name => el('th', { scope: 'col' }, name)), ['Size', 'Took'].map(name => el('th', { scope: 'col', class: 'number' }, name)), el('th', { scope: 'col' }, 'Ended'), el('th', { scope: 'col' }, 'By'))), body)), more),
  );

  async function load(fresh) {
    const mine = ++asked;
    more.disabled = true;
    const query = new URLSearchParams({ filter: `${search.value.trim()} status:ended`.trim(), sort: 'finished', limit: PAGE, ...(!fresh && { cursor }) });
    const page = await attempt(() => api('GET', `api/v1/tasks?${query}`));
    if (mine !== asked) return; // another filter was typed meanwhile
    more.disabled = false;
    if (!page) return;
    if (fresh) body.replaceChildren();
    body.append(...page.items.map(row));
    cursor = page.next_cursor;
    more.hidden = cursor === null;
    count.textContent = page.total.toLocaleString('en-US');
    if (!page.total) body.append(el('tr', {}, el('td', { colspan: 7 }, search.value.trim() ? 'Nothing matches the filter.' : 'Nothing has ended yet.')));
    exports.forEach((link, index) => { link.href = url(`api/v1/history?${new URLSearchParams({ format: ['csv', 'json'][index], filter: search.value.trim() })}`); });
  }

  let drawn = [];
  async function draw() {
    const found = await attempt(() => api('GET', `api/v1/statistics?days=${days.value}`));
    if (!found) return;
    const ended = bars(found.days, [['completed', 'Completed', '--green'], ['failed', 'Failed', '--red']], value => plural(value, 'task'));
    const bytes = bars(found.days, [['bytes', 'Processed', '--blue']], value => size(value));
    const kinds = el('dl', { class: 'keys kinds' }, found.operations.map(item => [el('dt', {}, item.op),
      el('dd', {}, `${plural(item.completed, 'task')} completed${item.failed ? `, ${item.failed} failed` : ''}`, item.bytes ? `, ${size(item.bytes)}` : '', item.seconds && item.bytes ? `, ${size(item.bytes / item.seconds)}/s on average` : '')]));
    charts.replaceChildren(chartPanel('Tasks a day', ended), chartPanel('Bytes a day', bytes),
      found.operations.length ? el('section', { class: 'panel wide' }, el('h3', {}, 'By operation'), kinds) : '');
    drawn = [ended, bytes];
    redraw();
  }

  const redraw = () => drawn.forEach(chart => chart.draw());
  const dark = matchMedia('(prefers-color-scheme: dark)');
  dark.addEventListener('change', redraw);
  $('theme').addEventListener('click', redraw);
  addEventListener('resize', redraw);
  search.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(() => load(true), 200); });
  days.addEventListener('change', draw);
  await Promise.all([load(true), draw()]);
  return () => {
    dark.removeEventListener('change', redraw);
    $('theme').removeEventListener('click', redraw);
    removeEventListener('resize', redraw);
  };
}

function row(task) {
  const word = statusWord(task);
  return el('tr', {},
    el('td', { class: 'name' }, el('a', { href: `#/task/${encodeURIComponent(task.id)}` }, task.title), task.error ? el('div', { class: 'hint' }, task.error.message) : null),
    el('td', {}, task.op),
    el('td', { data: { status: word } }, el('span', { class: 'badge' }, word[0].toUpperCase() + word.slice(1))),
    el('td', { class: 'number' }, task.total ? amount(task.total, task.unit) : '–'),
    el('td', { class: 'number' }, task.started && task.finished ? clock(task.finished - task.started) : '–'),
    el('td', {}, task.finished ? when(task.finished) : '–'),
    el('td', {}, `${task.owner} (${task.face})`));
}

function chartPanel(title, chart) {
  return el('section', { class: 'panel' }, el('h3', {}, title), chart.canvas,
    el('div', { class: 'legend' }, chart.layers.map(([key, name, colour]) => {
      const total = chart.days.reduce((sum, day) => sum + day[key], 0);
      return el('span', { class: colour === '--red' ? 'bad' : colour === '--green' ? 'good' : 'plain' }, el('i'), `${name}: ${chart.words(total)}`);
    })));
}

/** A bar chart, one bar a day, layers stacked; the same data stand in the legend and in the table for everyone. */
function bars(days, layers, words) {
  const canvas = el('canvas', { class: 'chart', role: 'img', 'aria-label': `${layers.map(([key, name]) => `${name} ${words(days.reduce((sum, day) => sum + day[key], 0))}`).join(', ')} over ${days.length} days` });
  function draw() {
    const ratio = devicePixelRatio || 1;
    const style = getComputedStyle(canvas);
    const width = canvas.width = Math.round(canvas.clientWidth * ratio);
    const height = canvas.height = Math.round(canvas.clientHeight * ratio);
    const pen = canvas.getContext('2d');
    const probe = document.body.appendChild(el('i', { hidden: true }));
    const colour = name => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
    const foot = 18 * ratio;
    const top = Math.max(...days.map(day => layers.reduce((sum, [key]) => sum + day[key], 0)), 1);
    const step = width / days.length;
    const room = height - foot - 16 * ratio;
    pen.font = `${11 * ratio}px ${style.fontFamily}`;
    pen.fillStyle = colour('--line');
    pen.fillRect(0, height - foot, width, ratio);
    days.forEach((day, index) => {
      let base = height - foot;
      for (const [key, , name] of layers) {
        const tall = day[key] / top * room;
        if (!tall) continue;
        pen.fillStyle = colour(name);
        pen.fillRect(index * step + step * 0.15, base - Math.max(tall, ratio), Math.max(step * 0.7, 1), Math.max(tall, ratio));
        base -= tall;
      }
    });
    pen.fillStyle = colour('--muted');
    pen.textBaseline = 'alphabetic';
    if (days.some(day => layers.some(([key]) => day[key]))) {
      pen.fillText(words(top), 0, 11 * ratio);
    } else {
      const nothing = `Nothing in the last ${days.length} days`;
      pen.fillText(nothing, (width - pen.measureText(nothing).width) / 2, height / 2);
    }
    pen.fillText(days[0]?.day ?? '', 0, height - 3 * ratio);
    const last = days.at(-1)?.day ?? '';
    pen.fillText(last, width - pen.measureText(last).width, height - 3 * ratio);
    probe.remove();
  }
  return { canvas, days, layers, words, draw };
}
