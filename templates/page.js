/* Goes on into the app, or tells the window that opened this one how it ended and closes this one after
   success. The page says all of it in words: nothing here is needed to finish. */
(() => {
  const { go, message, origins, close } = document.body.dataset;
  /* Where no app answers to the address, the browser stays here, and the link is here too. */
  if (go) location.href = go;
  const opener = window.opener;
  if (!opener || !origins) return;
  /* Only to the listed origins: the browser drops the message when the opener is on another. */
  for (const origin of origins.split(" ")) opener.postMessage(JSON.parse(message), origin);
  const button = document.querySelector("button[data-action=close]");
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => window.close());
    /* The app is in the window behind this one. */
    const back = document.querySelector("a[data-action=return]");
    if (back) back.hidden = true;
  }
  if (close !== undefined) window.close();
})();
