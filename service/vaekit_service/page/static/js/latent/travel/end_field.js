/** The controls that choose one end of an interpolation. */

import { numberField } from "../../input.js";
import { html, live } from "../../lit.js";
import { nameOf } from "./ends.js";

/**
 * @param {object} panel of the interpolation
 * @param {"a" | "b"} side
 */
export function endField(panel, side) {
  const end = panel.ends[side];
  const { start } = panel.context.state.get();
  const selected = start?.model === panel.model ? start : null;
  const title = side.toUpperCase();
  const kept = end.kind === "selected" ? nameOf(end, panel.source) : selected?.label;
  const kinds = [
    ...(panel.source ? [["row", panel.source.name === "images" ? "an image" : "a row"]] : []),
    ...(kept ? [["selected", `${kept}, selected`]] : []),
    ["sample", "a sample"],
    ["centre", "the centre"],
  ];
  const isStale = end.kind === "selected" && selected && selected !== end.kept;
  return html`<label class="field">${title}
      <select data-end=${side} .value=${live(end.kind)} @change=${({ target }) => panel.change(side, { kind: target.value })}>
        ${kinds.map(([kind, text]) => html`<option value=${kind} ?selected=${kind === end.kind}>${text}</option>`)}
      </select></label>
    ${end.kind === "row" ? number(panel, side, `Number of ${title}`, end.row, [0, panel.source.inputs.n - 1], (row) => ({ row })) : ""}
    ${end.kind === "sample" ? number(panel, side, `Seed of ${title}`, end.seed, [0, 2 ** 53 - 1], (seed) => ({ seed })) : ""}
    ${isStale ? html`<button @click=${() => panel.change(side, { kind: "selected" })}>Use ${selected.label}</button>` : ""}`;
}

function number(panel, side, label, value, [least, most], patchOf) {
  const changed = numberField({ least, most }, (value) => panel.change(side, patchOf(value)), (said) => panel.refuse(side, said));
  return html`<label class="field">${label}
    <input type="number" class="seed" min=${least} max=${most} step="1" .value=${live(String(value))} @change=${changed}></label>`;
}
