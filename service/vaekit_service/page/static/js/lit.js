/** The parts of lit-html that the page uses. */
export { html, nothing, render, svg } from "../vendor/lit-html/lit-html.js";
export { live } from "../vendor/lit-html/directives/live.js";
