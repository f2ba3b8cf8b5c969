/** What the model saw, beside what the reader saw. */

import { button, element } from './elements.mjs';
import { tellView } from './viewport.mjs';
import { tellWindow } from './window.mjs';

/**
 * The pictures of `seen`, {images, verified} or {error}, each with `who` saw it and its `place`; and the reader's own
 * view as a canvas, or null.
 */
export function showSeen(seen, snapshot, shown) {
  if (seen.error)
    return [
      element('p', { class: 'rs-warning' }, `What the model saw cannot be shown. ${seen.error.message}`),
    ];
  const figures = seen.images.map(({ png_base64: png, record, who, place }) => {
    const image = element('img', { src: `data:image/png;base64,${png}`, alt: 'What the model saw' });
    return figure(image, who, [tellVoi(record.voi), place].filter(Boolean).join(' · '));
  });
  if (snapshot) figures.push(figure(snapshot, 'You', shown ? tellView(shown) : ''));
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

function tellVoi(voi) {
  if (voi?.center === null || voi?.center === undefined) return '';
  return voi.units === 'SUVbw' ? `${tellWindow(voi)} SUV` : tellWindow(voi);
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
