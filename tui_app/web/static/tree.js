// The tree of an archive's members, with boxes to unpack only some of them.

import { api, attempt, el, freshKey, plural, size, toast } from './page.js';


/** A panel with the members of a `zipinfo` result. */
export function tree(detail, live) {
  const members = detail.result.members;
  const root = grow(members);
  const chosen = new Map();
  const count = el('span', { class: 'hint' }, '');
  const unpack = el('button', { type: 'button', class: 'primary', disabled: true, on: { click: () => run() } }, 'Unpack selected');
  const told = () => {
    unpack.disabled = !chosen.size;
    count.textContent = chosen.size ? `${plural(chosen.size, 'item')} selected` : 'Select what to unpack';
  };

  async function run() {
    const files = [...chosen.keys()].map(glob);
    unpack.disabled = true; // a second click is no second wish
    const view = await attempt(() => api('POST', 'api/v1/tasks', {
      operation: { op: 'unzip', path: detail.params.path, files },
    }, { 'Idempotency-Key': freshKey() }));
    if (view) { toast('Unpacking.', { action: { href: `#/task/${encodeURIComponent(view.id)}`, label: 'Show' } }); live.wake(); }
    told();
  }

  told();
  return el('section', { class: 'panel wide' }, el('h3', {}, 'Members'),
    detail.result.truncated ? el('p', { class: 'hint' }, `The first ${members.length.toLocaleString('en-US')} of ${plural(detail.result.total_members, 'member')}.`) : null,
    el('div', { class: 'tree-box', tabindex: 0, role: 'group', 'aria-label': 'Members of the archive' }, branch(root, chosen, told)),
    el('div', { class: 'buttons' }, unpack, count));
}

/** A glob that matches this member of the top and what lies in it. What could not be shown matches any character. */
const glob = path => `/${path.replace(/[*?[]/g, char => `[${char}]`).replaceAll('\ufffd', '?')}`;

const nameOf = member => member.name.replace(/\/$/, '');

function grow(members) {
  const root = { children: new Map() };
  for (const member of members) {
    let node = root;
    const parts = nameOf(member).split('/').filter(part => part && part !== '.');
    parts.forEach((part, depth) => {
      if (!node.children.has(part)) node.children.set(part, { name: part, path: parts.slice(0, depth + 1).join('/'), children: new Map(), size: 0, folder: true });
      node = node.children.get(part);
    });
    if (node === root) continue;
    node.folder = node.children.size > 0 || member.kind === 'folder' || member.name.endsWith('/');
    node.size = member.size ?? 0;
    node.locked = member.encrypted;
  }
  return root;
}

function branch(node, chosen, told, within = false) {
  const children = [...node.children.values()].sort((a, b) => Number(b.folder) - Number(a.folder) || a.name.localeCompare(b.name));
  return el('ul', { class: 'tree' }, children.map(child => {
    const box = el('input', { type: 'checkbox', prop: { checked: within, disabled: within }, on: { change: () => choose() } });
    const choose = () => {
      if (box.checked) chosen.set(child.path, child); else chosen.delete(child.path);
      // A folder comes with everything in it: that is shown, and not chosen a second time.
      for (const inner of box.closest('li').querySelectorAll(':scope ul input')) { inner.checked = inner.disabled = box.checked; }
      if (box.checked) for (const path of [...chosen.keys()]) { if (path.startsWith(`${child.path}/`)) chosen.delete(path); }
      told();
    };
    const label = el('label', {}, box, el('span', { class: 'name' }, child.folder ? `${child.name}/` : child.name), el('small', {}, child.folder ? '' : size(child.size)));
    if (!child.children.size) return el('li', {}, label);
    const open = el('details', {}, el('summary', {}, label));
    // A folder's content is made when it is opened: big archives stay cheap.
    open.addEventListener('toggle', () => { if (open.open && open.childElementCount === 1) open.append(branch(child, chosen, told, box.checked)); });
    open.open = children.length === 1;
    return el('li', {}, open);
  }));
}
