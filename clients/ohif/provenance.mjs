/** Which engine answered, and where the time went: small, for whoever wants to know. */

import { element } from './elements.mjs';

/** A list that opens. */
export function showProvenance({ engine, timings, archive, confidence_basis: basis }) {
  const rows = [
    ['Engine', engine.name],
    ['Digest', engine.digest],
    ['Precision', engine.precision],
    ['Gate', engine.gate],
    ['Question type', basis?.question_type],
    ['Fetched in', tellFetch(timings, archive)],
    ['First word', tellMs(timings?.ttft_without_fetch_ms, ' after the fetch')],
    ['Whole answer', tellMs(timings?.total_ms)],
  ];
  const list = rows
    .filter(([, value]) => value)
    .flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]);
  const use = engine.intended_use && element('p', { class: 'rs-use' }, engine.intended_use);
  return element(
    'details',
    { class: 'rs-provenance' },
    element('summary', {}, 'Model and timings'),
    use,
    element('dl', {}, list),
  );
}

function tellFetch(timings, archive) {
  const time = tellMs(timings?.fetch_ms);
  if (!time || !archive?.instances) return time;
  return `${time} (${archive.instances} from the archive, ${(archive.bytes / 1e6).toFixed(1)} MB)`;
}

function tellMs(ms, more = '') {
  return Number.isFinite(ms) ? `${Math.round(ms).toLocaleString('en-US')} ms${more}` : null;
}
