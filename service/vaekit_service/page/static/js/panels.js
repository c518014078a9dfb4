/**
 * The panels of the page, in the order in which they appear.
 *
 * @typedef {object} Context
 * @property {ReturnType<import("./api.js").makeApi>} api
 * @property {import("./state.js").Store} state
 * @property {typeof import("./lit.js").html} html
 * @property {typeof import("./lit.js").render} render
 * @property {(text: string) => void} announce tell users of screen readers
 *
 * @typedef {object} Panel
 * @property {string} id also of its element
 * @property {string} title
 * @property {string} view the id of the view that it belongs to, see VIEWS
 * @property {(model: object) => string} [about] one sentence below the title
 * @property {(model: object) => boolean} accepts whether the panel is for a model
 * @property {(root: HTMLElement, context: Context) => (() => void)} mount fill the element for the model in the state;
 *   called when the view is first shown; the result ends what the panel does, before another model is shown
 */

import { panel as data } from "./data/panel.js";
import { panel as editor } from "./editor/panel.js";
import { panel as facts } from "./facts.js";
import { panel as health } from "./health/panel.js";
import { panel as images } from "./images/panel.js";
import { panel as latentMap } from "./latent/map/panel.js";
import { panel as interpolation } from "./latent/travel/interpolation_panel.js";
import { panel as sliders } from "./latent/travel/sliders_panel.js";
import { panel as samples } from "./samples/panel.js";
import { panel as scores } from "./scores/panel.js";
import { panel as rows } from "./table/panel.js";

/** The views, each with its title. */
export const VIEWS = { score: "Score", latent: "Latent space", health: "Health", model: "Model" };

/** @type {Panel[]} */
export const PANELS = [data, images, scores, rows, editor, latentMap, sliders, interpolation, samples, health, facts];
