/** Small drawings on a grid of 24. */

const NAMESPACE = 'http://www.w3.org/2000/svg';
const THUMB =
  'M3 11h4v9H3zM9 20V11l4-8c1.6 0 2.4 1.2 2.1 2.8L14.5 9H20c1 0 1.8 1 1.5 2l-1.8 7.4c-.2 1-1 1.6-2 1.6z';

/** `name` is "up" or "down". */
export function icon(name) {
  const svg = document.createElementNS(NAMESPACE, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(NAMESPACE, 'path');
  path.setAttribute('d', THUMB);
  if (name === 'down') path.setAttribute('transform', 'rotate(180 12 12)');
  svg.append(path);
  return svg;
}
