/** Completes what the theme leaves out for keyboards and screen readers. */

/** Elements that scroll sideways can be reached by Tab. */
function reachable() {
  for (const one of document.querySelectorAll("article pre, article .table-wrapper")) {
    if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
    else one.removeAttribute("tabindex");
  }
}

function name(selector, label) {
  document.querySelector(selector)?.setAttribute("aria-label", label);
}

/** Replace an element by one of another kind with the same content. */
function become(kind, element) {
  const made = document.createElement(kind);
  made.append(...element.childNodes);
  element.replaceWith(made);
  return made;
}

function complete() {
  name(".sidebar-drawer", "All pages");
  name(".toc-drawer", "This page");
  for (const caption of document.querySelectorAll('.caption[role="heading"]')) caption.setAttribute("aria-level", "2");
  for (const list of document.querySelectorAll("dt.sig dl")) {
    for (const one of [...list.children]) become("div", one); // the parameters of a long signature are no definitions
    become("div", list).className = "parameters";
  }
  for (const head of document.querySelectorAll("article th")) {
    if (head.textContent.trim() === "") become("td", head);
  }
  reachable();
}

addEventListener("resize", reachable);
if (document.readyState === "loading") addEventListener("DOMContentLoaded", complete);
else complete();
addEventListener("load", reachable);
