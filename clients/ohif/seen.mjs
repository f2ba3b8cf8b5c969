/** What the model saw, beside what the reader saw. */

import { button, element } from './elements.mjs';
import { tellWindow } from './window.mjs';

/** The pictures of `seen`, {images, verified} or {error}, and the reader's own view as a canvas, or null. */
export function showSeen(seen, snapshot, shown) {
  if (seen.error)
    return [
      element('p', { class: 'rs-warning' }, `What the model saw cannot be shown. ${seen.error.message}`),
    ];
  const figures = seen.images.map(({ png_base64: png, record }) => {
    const image = element('img', { src: `data:image/png;base64,${png}`, alt: 'What the model saw' });
    return figure(image, 'The model', tellRecord(record));
  });
  if (snapshot)
    figures.push(figure(snapshot, 'You', shown?.window ? tellWindow(shown.window) : (shown?.noWindow ?? '')));
  const told = seen.verified
    ? element(
        'p',
        { class: 'rs-verified' },
        'These are the very pixels the model saw: their digest is the answer’s.',
      )
    : element(
        'p',
        { class: 'rs-warning' },
        'These pictures are not proven to be what the model saw: the digests differ.',
      );
  return [element('div', { class: 'rs-seen' }, figures), told];
}

function figure(picture, who, words) {
  const open = button(picture, () => enlarge(picture), {
    'aria-label': `${who}: ${words}; enlarge`,
    title: 'Enlarge',
  });
  const caption = element('figcaption', {}, element('b', {}, who), ' ', words);
  return element('figure', {}, open, caption);
}

function tellRecord({ voi, frame, number_of_frames: frames, slice }) {
  const parts = [];
  if (voi?.center !== null && voi?.center !== undefined) parts.push(tellWindow(voi));
  if (slice) parts.push(`slice ${slice.slice} of ${slice.slices}`);
  if (frames > 1) parts.push(`frame ${frame}`);
  return parts.join(' · ');
}

/** Esc or a click closes it. */
function enlarge(picture) {
  const dialog = element('dialog', { class: 'rs-large', 'aria-label': 'Enlarged' });
  dialog.append(
    copyOf(picture),
    button('Close', () => dialog.close(), { class: 'rs-secondary' }),
  );
  dialog.addEventListener('close', () => dialog.remove());
  dialog.addEventListener('click', event => event.target === dialog && dialog.close());
  picture.closest('.radserve').append(dialog);
  dialog.showModal();
}

function copyOf(picture) {
  const copy = picture.cloneNode();
  if (picture instanceof HTMLCanvasElement) copy.getContext('2d').drawImage(picture, 0, 0);
  return copy;
}
