// Signing in: with what is typed, or with the one-time code in the address (#code=..., never sent to a server by itself).

const form = document.getElementById('form');
const problem = document.getElementById('problem');
const home = new URL('dashboard', document.baseURI.replace(/[?#].*/, '')).href;

async function signIn(token) {
  problem.textContent = '';
  form.querySelector('button').disabled = true;
  try {
    const response = await fetch(new URL('auth/login', home), {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token }),
    });
    if (response.ok) { location.replace(home); return; }
    const body = await response.json().catch(() => ({}));
    problem.textContent = body.detail ?? `The server answered ${response.status}.`;
  } catch {
    problem.textContent = 'The server cannot be reached.';
  }
  form.querySelector('button').disabled = false;
}

form.addEventListener('submit', event => { event.preventDefault(); signIn(document.getElementById('token').value.trim()); });

/** Sign in with the code in the address, if there is one; it does not stay there. */
function signInByLink() {
  const code = new URLSearchParams(location.hash.slice(1)).get('code');
  if (!code) return false;
  history.replaceState(null, '', location.pathname);
  signIn(code);
  return true;
}

addEventListener('hashchange', signInByLink); // a link opened while this page is shown loads nothing anew
if (!signInByLink()) document.getElementById('token').focus();
