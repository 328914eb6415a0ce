// Says that Python could not be loaded, where a notebook would only show [*]. scripts/build_lite.py puts the address in.
(async () => {
  const python = new URL("{{python}}", document.currentScript.src);
  const show = (text) => {
    const box = document.createElement("div");
    box.setAttribute("role", "alert");
    box.textContent = text;
    box.style.cssText =
      "position:fixed;z-index:10000;left:0;right:0;bottom:0;padding:12px 44px 12px 16px;background:#fff3cd;color:#3d2f00;" +
      "border-top:1px solid #b58900;font:15px/1.5 system-ui,sans-serif";
    const close = document.createElement("button");
    close.textContent = "\u00d7";
    close.setAttribute("aria-label", "Close");
    close.style.cssText = "position:absolute;right:12px;top:8px;border:0;background:none;font-size:22px;cursor:pointer;color:inherit";
    close.onclick = () => box.remove();
    box.append(close);
    document.body.append(box);
  };
  if (location.protocol === "file:") {
    show("This page has to come from a web server. Run  python -m http.server --directory build/lite  and open http://127.0.0.1:8000");
    return;
  }
  try {
    const answer = await fetch(python, { method: "HEAD", signal: AbortSignal.timeout(20000) });
    if (!answer.ok) throw new Error(String(answer.status));
  } catch {
    show(
      `Python could not be loaded from ${python.host}, so cells will stay at [*]. ` +
        "Check your connection and reload, or run the chapter on your own machine: its first paragraph says how. " +
        "The stored results below can be read without it.",
    );
  }
})();
