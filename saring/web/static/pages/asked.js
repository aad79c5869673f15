// A request that waits for a worker: go to its run once a worker has begun it.

async function look() {
  if (!document.hidden) {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (response?.redirected) return location.assign(response.url);
    if (response?.ok && !(await response.text()).includes("data-waits")) return location.reload();
  }
  setTimeout(look, 2000);
}

setTimeout(look, 2000);
