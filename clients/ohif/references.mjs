/** From what the reader sees and chose to what the gateway is asked about. */

import { unitOf } from './viewport.mjs';

export const SCOPES = [
  { id: 'frame', label: 'This image', title: 'Ask about the image in front of you' },
  {
    id: 'series',
    label: 'Series',
    title: 'Ask about the series; the model is shown the slices its policy chooses',
  },
  { id: 'prior', label: 'With prior', title: 'Compare this image with the earlier study of this patient' },
];

/**
 * {references, words}: the `image_dicom` of a question, and in words what is sent. `findPrior` is called for the scope
 * "prior", and may raise NoPrior.
 */
export async function makeReferences(shown, { scope, useWindow, pacs, findPrior }) {
  const window = useWindow ? shown.window : null;
  const shared = { ...(pacs ? { pacs } : {}), ...(window ? { window } : {}) };
  const words = [];
  const references = [];
  if (scope === 'series') {
    references.push({ study: shown.study, series: shown.series, ...shared });
    words.push('the series');
  } else {
    references.push(frameOf(shown, shared));
    words.push(tellFrame(shown));
  }
  if (scope === 'prior') {
    const prior = await findPrior(shown);
    references.push({ study: prior.study, series: prior.series, instances: [prior.instance], ...shared });
    words.push(
      `prior${tellDate(prior.date)}, ${unitOf(shown.modality)} ${prior.place} of ${prior.count} (same place in its stack)`,
    );
  }
  words.push(...tellTreatment(shown, useWindow, window));
  return { references, words };
}

function frameOf({ study, series, instance, frame }, shared) {
  return { study, series, instances: [instance], frames: [frame], ...shared };
}

function tellFrame({ modality, frames, frame, place, count }) {
  if (frames > 1) return `frame ${frame} of ${frames}`;
  return count > 1 ? `${unitOf(modality)} ${place} of ${count}` : 'this image';
}

function tellTreatment(shown, useWindow, window) {
  const words = [];
  if (window) words.push(`your window ${shown.windowWords}`);
  else words.push(useWindow ? `the model's own window: ${shown.noWindow}` : "the model's own window");
  if (useWindow && shown.inverted) words.push('not inverted, as the model never sees inverted images');
  return words;
}

function tellDate(date) {
  return /^\d{8}$/.test(date ?? '')
    ? ` of ${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}`
    : ' without a date';
}
