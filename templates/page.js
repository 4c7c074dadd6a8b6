/* Tells the window that opened this one how it ended, then closes this one after success.
   The page says all of it in words: nothing here is needed to finish. */
(() => {
  const opener = window.opener;
  if (!opener) return;
  const { message, origins, close } = document.body.dataset;
  /* Only to the listed origins: the browser drops the message when the opener is on another. */
  for (const origin of origins.split(" ")) opener.postMessage(JSON.parse(message), origin);
  const button = document.querySelector("button[data-action=close]");
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => window.close());
  }
  if (close !== undefined) window.close();
})();
