/** One question and what came of it. */

import { tellConfidence, tellPart, tellPlainly } from './answers.mjs';
import { copyText } from './clipboard.mjs';
import { button, element, fill } from './elements.mjs';
import { icon } from './icons.mjs';
import { showProvenance } from './provenance.mjs';
import { showSeen } from './seen.mjs';

export class AnswerView {
  #exchange;
  #actions;

  constructor(exchange, actions) {
    this.#exchange = exchange;
    this.#actions = actions;
    this.words = element('p', { class: 'rs-words' });
    this.text = element('p', { class: 'rs-text', 'aria-live': 'polite' });
    this.judgement = element('div', { class: 'rs-judgement' });
    this.seen = element('div', {});
    this.rest = element('div', { class: 'rs-rest' });
    this.brief = element('span', { class: 'rs-brief' }); // the answer, while the rest is folded away
    const question = element('span', {}, exchange.question, this.brief);
    const summary = element('summary', { class: 'rs-question' }, question);
    const body = [this.words, this.text, this.judgement, this.seen, this.rest];
    this.details = element('details', { open: true }, summary, body);
    this.root = element('article', { class: 'rs-answer', 'aria-label': exchange.question }, this.details);
    this.update();
  }

  get answerId() {
    return this.#exchange.answerId;
  }

  /** Leave only the question in sight. */
  fold() {
    this.details.open = false;
  }

  /** The text so far. */
  say(text) {
    this.text.textContent = text;
  }

  update() {
    const { state, text, words, seen, snapshot } = this.#exchange;
    this.root.dataset.state = state;
    this.text.setAttribute('aria-busy', String(state === 'running'));
    fill(this.words, words.filter(Boolean).join(' · '));
    const unsure = Boolean(this.#exchange.clinical?.abstained);
    this.brief.dataset.unsure = String(unsure);
    this.brief.textContent =
      { done: unsure ? `Not sure: ${text}` : text, stopped: 'Stopped', failed: 'Failed' }[state] ?? '';
    this.say(text);
    fill(this.judgement, state === 'done' ? judge(this.#exchange) : []);
    fill(this.seen, seen ? showSeen(seen, snapshot, this.#exchange.wish?.shown) : []);
    fill(this.rest, this.#rest());
  }

  #rest() {
    const { state, error, clinical } = this.#exchange;
    if (state === 'stopped')
      return [element('p', { class: 'rs-small', role: 'status' }, 'Stopped.'), this.#retry('Ask again')];
    if (state === 'failed') return [tellError(error), this.#retry('Retry')];
    if (state === 'running') return [];
    return [this.#buttons(), this.#outcomes(), clinical?.engine && showProvenance(clinical)];
  }

  #retry(label) {
    return button(label, () => this.#actions.retry(this), { class: 'rs-secondary' });
  }

  #buttons() {
    const { filed, verdict } = this.#exchange;
    const copied = event => copyText(tellPlainly(this.#exchange), event.currentTarget);
    const isFiled = Boolean(filed?.report || filed?.running);
    const file = button(filed?.running ? 'Filing …' : 'File to archive', () => this.#actions.file(this), {
      class: 'rs-secondary',
      disabled: isFiled,
    });
    const thumb = (given, label) =>
      button(icon(given), () => this.#actions.rate(this, given), {
        class: 'rs-thumb',
        'aria-label': label,
        title: label,
        'aria-pressed': String(verdict?.given === given),
        disabled: Boolean(verdict?.running),
      });
    const thumbs = [thumb('up', 'Good answer'), thumb('down', 'Bad answer')];
    return element(
      'div',
      { class: 'rs-actions' },
      button('Copy', copied, { class: 'rs-secondary' }),
      file,
      thumbs,
    );
  }

  #outcomes() {
    const { filed, verdict } = this.#exchange;
    const parts = [];
    if (filed?.report) parts.push(this.#tellFiled(filed));
    if (filed?.error) parts.push(tellError(filed.error));
    if (verdict?.error) parts.push(tellError(verdict.error));
    if (verdict?.given)
      parts.push(element('p', { class: 'rs-small' }, 'Thank you: noted in the audit file.'));
    return element('div', { role: 'status' }, parts);
  }

  #tellFiled({ report, displaySet }) {
    const told = `Filed in ${report.stored_to ?? 'the archive'} as a draft report, not verified.`;
    const open = displaySet
      ? button('Show report', () => this.#actions.showReport(displaySet), { class: 'rs-secondary' })
      : element('span', { class: 'rs-small' }, ' Reload the study to see it.');
    return element('p', { class: 'rs-filed' }, told, ' ', open);
  }
}

/** How sure the model is, and what to beware of, set apart from the answer. */
function judge(exchange) {
  const { clinical } = exchange;
  const warnings = clinical.warnings ?? [];
  const part = tellPart(exchange);
  return [
    part &&
      element(
        'p',
        { class: 'rs-warning' },
        `The model was shown ${part} of this series, and knows nothing of the others.`,
      ),
    clinical.abstained &&
      element(
        'p',
        { class: 'rs-abstained', role: 'note' },
        'The model is not sure enough: do not rely on this answer.',
      ),
    element(
      'div',
      { class: 'rs-confidence' },
      element('span', {}, `Confidence ${tellConfidence(clinical)}`),
      drawBar(clinical),
    ),
    warnings.length > 0 &&
      element(
        'ul',
        { class: 'rs-warnings', 'aria-label': 'Warnings' },
        warnings.map(one => element('li', {}, one)),
      ),
  ];
}

function drawBar({ confidence, confidence_basis: basis, abstained }) {
  if (confidence === null || confidence === undefined) return null;
  const percent = Math.round(100 * confidence);
  const full = element('span', { class: 'rs-full', 'data-abstained': String(Boolean(abstained)) });
  full.style.width = `${percent}%`;
  const mark = basis?.threshold
    ? element('span', { class: 'rs-threshold', title: 'Below this mark it does not rely on itself' })
    : null;
  if (mark) mark.style.left = `${100 * basis.threshold}%`;
  const range = { 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': percent };
  return element(
    'span',
    { class: 'rs-bar', role: 'meter', 'aria-label': 'Confidence', ...range },
    full,
    mark,
  );
}

function tellError(error) {
  const code =
    error.code &&
    element('small', { class: 'rs-code' }, error.status ? `${error.code}, ${error.status}` : error.code);
  return element('div', { class: 'rs-error', role: 'alert' }, element('p', {}, error.message), code);
}
