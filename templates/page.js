/* Goes on into the app, posts once more what is waiting, or tells the window that opened this one how it ended and closes this one after
   success. The page says all of it in words: nothing here is needed to finish. */
(() => {
  const { go, post, message, origins, close } = document.body.dataset;
  /* Where no app answers to the address, the browser stays here, and the link is here too. */
  if (go) location.href = go;
  /* What the bank posted is nowhere but in this page: asking for the address again would not bring it. */
  if (post) setTimeout(() => document.forms[0].submit(), post * 1000);
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
