// The dashboard, first slice: the guide's routes, asked once a second with the bearer token of this tab.
const at = (id) => document.getElementById(id);
let token = sessionStorage.getItem("taskdeck-token") ?? "";

async function ask(path, options = {}) {
  const headers = { ...(options.headers ?? {}) };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { ...options, headers });
  const body = await response.json();
  if (response.status === 401) throw Object.assign(new Error(body.detail), { login: true });
  if (!response.ok) throw new Error(body.detail);
  return body;
}

const size = (bytes) => {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let step = 0;
  for (; bytes >= 999.5 && step < units.length - 1; step += 1) bytes /= 1000;
  return `${bytes.toFixed(step ? 2 : 0)} ${units[step]}`;
};

function showStats(stats) {
  const shown = {
    "Active tasks": stats.active_tasks,
    "Total speed": `${size(stats.total_speed)}/s`,
    Downloads: stats.total_downloads,
    Uploads: stats.total_uploads,
    CPU: `${stats.cpu_usage}%`,
    Memory: `${stats.memory_usage}%`,
    Disk: `${stats.disk_usage}%`,
  };
  at("stats").replaceChildren(
    ...Object.entries(shown).map(([name, value]) => {
      const box = document.createElement("div");
      const term = document.createElement("dt");
      const fact = document.createElement("dd");
      term.textContent = name;
      fact.textContent = value;
      box.append(term, fact);
      return box;
    }),
  );
}

function showTask(task) {
  let card = at(`task-${task.id}`);
  if (!card) {
    card = at("card").content.cloneNode(true).firstElementChild;
    card.id = `task-${task.id}`;
  }
  card.querySelector("h2").textContent = task.name;
  card.querySelector(".status").textContent = task.error ?? task.status;
  const bar = card.querySelector("progress");
  bar.value = task.progress;
  bar.setAttribute("aria-label", task.name);
  card.querySelector(".facts").textContent =
    task.unit === "bytes" && task.total_size
      ? `${task.progress}%  ${size(task.current_size)} of ${size(task.total_size)}  ${size(task.speed)}/s`
      : `${task.progress}%`;
  const wanted = task.actions.filter((name) => ["pause", "resume", "cancel"].includes(name));
  const actions = card.querySelector(".actions");
  if (actions.dataset.shown !== wanted.join()) {
    actions.dataset.shown = wanted.join();
    actions.replaceChildren(
      ...wanted.map((name) => {
        const button = document.createElement("button");
        button.textContent = name;
        button.dataset.action = name;
        button.dataset.task = task.id;
        return button;
      }),
    );
  }
  return card;
}

async function refresh() {
  try {
    const [stats, list] = await Promise.all([ask("api/stats"), ask("api/tasks?limit=100")]);
    showStats(stats);
    at("tasks").replaceChildren(...list.tasks.map(showTask));
    at("state").textContent = "Connected";
    at("login").hidden = true;
  } catch (error) {
    at("login").hidden = !error.login;
    at("state").textContent = error.login ? "Token needed" : "Not connected, trying again";
  }
  setTimeout(refresh, 1000);
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  sessionStorage.setItem("taskdeck-token", token);
});
at("tasks").addEventListener("click", async (event) => {
  const { action, task } = event.target.dataset;
  if (!action) return;
  try {
    await ask(`api/tasks/${task}/control`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ action }),
    });
  } catch (error) {
    at("state").textContent = error.message;
  }
});
refresh();
