/**
 * Windows, as the viewer has them (the values it shows as black and as white) and as DICOM writes them.
 *
 * PS3.3 C.11.2.1.2: LINEAR maps x to (x - (center - 0.5)) / (width - 1) + 0.5, so black is at
 * center - 0.5 - (width - 1) / 2, and white at center - 0.5 + (width - 1) / 2.
 */

const SIGMOID = 'SIGMOID';

/** The window {center, width, function} that shows what the viewer shows between `lower` and `upper`. */
export function toWindow({ lower, upper }, voiFunction) {
  const window = { center: (lower + upper + 1) / 2, width: Math.abs(upper - lower) + 1 };
  return { ...window, function: voiFunction === 'SAMPLED_SIGMOID' ? SIGMOID : 'LINEAR' };
}

/** As a viewer writes it: "W 400 · L 40", whose numbers do not part from their letters. */
export function tellWindow({ center, width }) {
  return `W\u00a0${round(width)} · L\u00a0${round(center)}`;
}

function round(value) {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 1 ? 1 : 3;
  return Number(value.toFixed(digits)).toLocaleString('en-US', { useGrouping: false });
}
