// The service worker: keeps the shell of the page for when the server cannot be reached. Never touches data.

const NAME = 'taskdeck-{version}';
const SHELL = ['offline', ...['app.css', 'app.js', 'page.js', 'live.js', 'cards.js', 'icon.svg'].map(name => `static/{version}/${name}`)];

addEventListener('install', event => {
  event.waitUntil(caches.open(NAME).then(cache => cache.addAll(SHELL)).then(() => skipWaiting()));
});

addEventListener('activate', event => {
  event.waitUntil(caches.keys()
    .then(names => Promise.all(names.filter(name => name.startsWith('taskdeck-') && name !== NAME).map(name => caches.delete(name))))
    .then(() => clients.claim()));
});

addEventListener('fetch', event => {
  const { request } = event;
  if (request.method !== 'GET') return;
  const path = new URL(request.url).pathname.slice(new URL(registration.scope).pathname.length);
  if (request.mode === 'navigate') event.respondWith(fetch(request).catch(() => caches.match('offline')));
  else if (path.startsWith('static/{version}/')) event.respondWith(caches.match(request).then(found => found ?? fetch(request)));
});

addEventListener('notificationclick', event => {
  event.notification.close();
  const page = new URL(`dashboard#/task/${encodeURIComponent(event.notification.tag)}`, registration.scope).href;
  event.waitUntil(clients.matchAll({ type: 'window' }).then(open => open[0]
    ? open[0].navigate(page).then(client => client.focus())
    : clients.openWindow(page)));
});
