"use strict";
// Shows the cluster and chats with it. Text from the server is only ever set as text, never as markup.

const byId = (id) => document.getElementById(id);
const history = [];
let key = sessionStorage.getItem("exo-key");

async function ask(path, options = {}) {
  const headers = { ...(options.body ? { "content-type": "application/json" } : {}), ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) {
    const given = prompt("API key");
    if (given) {
      key = given;
      sessionStorage.setItem("exo-key", given);
      return ask(path, options);
    }
  }
  if (!response.ok) {
    const body = await response.json().catch(() => null);
    throw new Error(body?.error?.message ?? `${response.status} ${response.statusText}`);
  }
  return response;
}

function fill(body, rows) {
  body.replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    for (const cell of cells) {
      const item = document.createElement("td");
      if (cell instanceof Node) item.append(cell); else item.textContent = cell;
      row.append(item);
    }
    return row;
  }));
}

const gib = (bytes) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

function runner(status) {
  if (status === undefined) return "waiting";
  const [name, value] = typeof status === "string" ? [status, {}] : Object.entries(status)[0];
  const word = name.replace(/^Runner/, "").toLowerCase();
  return word === "loading" ? `loading ${value.layersLoaded}/${value.totalLayers}` : word;
}

function placeButton(model) {
  const button = document.createElement("button");
  button.textContent = "Place";
  button.type = "button";
  button.onclick = () => ask("/place_instance", { method: "POST", body: JSON.stringify({ model_id: model }) }).then(refresh).catch((error) => say("error", error.message));
  return button;
}

function instanceRows(state, names) {
  return Object.values(state.instances).flatMap((instance) => {
    const shards = instance.shardAssignments;
    return Object.entries(shards.nodeToRunner)
      .map(([node, id]) => ({ node, id, shard: shards.runnerToShard[id] }))
      .sort((a, b) => a.shard.deviceRank - b.shard.deviceRank)
      .map(({ node, id, shard }) => [shards.modelCard.modelId, shard.deviceRank, names[node] ?? node, `${shard.startLayer}–${shard.endLayer - 1}`, runner(state.runners[id])]);
  });
}

async function refresh() {
  const [state, models] = await Promise.all([ask("/state").then((r) => r.json()), ask("/v1/models").then((r) => r.json())]);
  const names = Object.fromEntries(Object.entries(state.nodeIdentities).map(([id, info]) => [id, info.friendlyName]));
  fill(byId("nodes"), state.topology.nodes.map((id) => {
    const info = state.nodeIdentities[id] ?? {};
    const memory = state.nodeMemory[id];
    return [info.friendlyName ?? id, info.addresses?.[0] ?? "", memory ? `${gib(memory.ramAvailable.inBytes)} of ${gib(memory.ramTotal.inBytes)}` : "", info.version ?? ""];
  }));
  fill(byId("instances"), instanceRows(state, names));
  fill(byId("models"), models.data.map((model) => [model.id, `${model.storage_size_megabytes} MiB`, model.quantization, model.ready ? "ready" : placeButton(model.id)]));
  const select = byId("model");
  const ready = models.data.filter((model) => model.ready).map((model) => model.id);
  if (ready.join() !== [...select.options].map((option) => option.value).join()) {
    select.replaceChildren(...ready.map((id) => new Option(id, id)));
  }
  const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
  byId("summary").textContent = `${count(state.topology.nodes.length, "node")}, ${count(ready.length, "model")} ready`;
}

function say(who, text) {
  const line = document.createElement("p");
  line.className = who;
  line.textContent = text;
  byId("log").append(line);
  byId("log").scrollTop = byId("log").scrollHeight;
  return line;
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (part.startsWith("data: ")) yield part.slice(6);
    }
  }
}

async function send(event) {
  event.preventDefault();
  const input = byId("input");
  const text = input.value.trim();
  if (!text || byId("send").disabled) return;
  input.value = "";
  say("user", text);
  history.push({ role: "user", content: text });
  byId("send").disabled = true;
  const line = say("assistant", "");
  const started = performance.now();
  let answer = "";
  let usage = null;
  try {
    const body = JSON.stringify({ model: byId("model").value, messages: history, stream: true, temperature: 0, stream_options: { include_usage: true } });
    for await (const data of events(await ask("/v1/chat/completions", { method: "POST", body }))) {
      if (data === "[DONE]") break;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      usage = chunk.usage ?? usage;
      answer += chunk.choices[0]?.delta?.content ?? "";
      line.textContent = answer;
      byId("log").scrollTop = byId("log").scrollHeight;
    }
    history.push({ role: "assistant", content: answer });
    const seconds = (performance.now() - started) / 1000;
    if (usage) byId("speed").textContent = `${usage.completion_tokens} tokens in ${seconds.toFixed(2)} s: ${(usage.completion_tokens / seconds).toFixed(1)} tokens per second`;
  } catch (error) {
    history.pop();
    say("error", error.message);
  } finally {
    byId("send").disabled = false;
    input.focus();
  }
}

byId("form").addEventListener("submit", send);
byId("input").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) send(event);
});
byId("clear").addEventListener("click", () => {
  history.length = 0;
  byId("log").replaceChildren();
  byId("speed").textContent = "";
});
const loop = () => refresh().catch((error) => { byId("summary").textContent = error.message; }).finally(() => setTimeout(loop, 2000));
loop();
