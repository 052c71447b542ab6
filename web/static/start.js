// Shows the address of this very server in the examples, and gives each a button that copies it.
"use strict";
for (const pre of document.querySelectorAll("pre")) {
  const code = pre.querySelector("code");
  code.textContent = code.textContent.replaceAll("http://127.0.0.1:8080", location.origin);
  if (!navigator.clipboard) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  pre.append(button);
}
