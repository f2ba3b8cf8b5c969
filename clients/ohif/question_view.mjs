/** Where a question is typed: what it is about, suggestions, scope, window. */

import { button, element, fill } from './elements.mjs';
import { SCOPES } from './references.mjs';
import { suggest } from './suggestions.mjs';
import { tellSeries, tellShown } from './viewport.mjs';

export class QuestionView {
  #onAsk;
  #onStop;
  #busy = false;
  #modality = null;

  constructor({ onAsk, onStop }) {
    this.#onAsk = onAsk;
    this.#onStop = onStop;
    this.#build();
  }

  get scope() {
    return this.scopes.querySelector('input:checked').value;
  }

  get useWindow() {
    return this.window.checked;
  }

  focus() {
    this.text.focus();
  }

  clear() {
    this.text.value = '';
    this.refuse('');
  }

  /** For another study: it is the image that is asked about again. The switch stays, which is the reader's habit. */
  reset() {
    this.clear();
    this.scopes.querySelector('input').checked = true;
  }

  /** Say why the question cannot be asked. */
  refuse(why) {
    this.refusal.textContent = why;
  }

  /** Say what the reader sees now. */
  tell(shown) {
    this.shown.textContent = shown ? tellShown(shown) : 'No image is open';
    this.series.textContent = shown ? tellSeries(shown) : '';
    this.ownWindow.textContent = shown?.windowWords ?? shown?.noWindow ?? '';
    this.note.hidden = !shown?.inverted;
    if (shown && shown.modality !== this.#modality && !shown.reason) {
      this.#modality = shown.modality;
      const ask = question => button(question, () => this.#send(question), { class: 'rs-chip' });
      fill(this.suggestions, suggest(shown.modality).map(ask));
    }
  }

  setBusy(busy) {
    this.#busy = busy;
    const focused = document.activeElement;
    this.askButton.hidden = busy;
    this.stopButton.hidden = !busy;
    for (const chip of this.suggestions.children) chip.disabled = busy;
    if (focused?.hidden || focused?.disabled) (busy ? this.stopButton : this.text).focus(); // for those without a mouse
  }

  #build() {
    this.shown = element('p', { class: 'rs-shown' });
    this.series = element('p', { class: 'rs-series rs-small' });
    this.text = element('textarea', {
      id: 'radserve-question',
      rows: 3,
      placeholder: 'Ask about the image in front of you',
      'aria-label': 'Question',
      'aria-describedby': 'radserve-keys',
      'aria-keyshortcuts': 'Alt+Q',
      on: { keydown: event => this.#onKey(event) },
    });
    this.suggestions = element('div', {
      class: 'rs-chips',
      role: 'group',
      'aria-label': 'Suggested questions',
    });
    this.refusal = element('p', { class: 'rs-warning', role: 'alert' });
    this.askButton = element('button', { type: 'submit', class: 'rs-primary' }, 'Ask');
    this.stopButton = button('Stop', () => this.#onStop(), { class: 'rs-secondary', hidden: true });
    const keys = element(
      'p',
      { class: 'rs-keys', id: 'radserve-keys' },
      'Enter asks · Esc stops · Alt+Q comes here',
    );
    const send = element('div', { class: 'rs-send' }, this.askButton, this.stopButton, keys);
    const parts = [
      element('div', {}, this.shown, this.series),
      this.text,
      this.refusal,
      this.#buildScopes(),
      this.#buildWindow(),
      send,
      this.suggestions,
    ];
    const submit = event => {
      event.preventDefault();
      this.#send(this.text.value);
    };
    this.root = element('form', { class: 'rs-form', on: { submit } }, parts);
  }

  #buildScopes() {
    const radio = ({ id, label, title }, index) =>
      element(
        'label',
        { title },
        element('input', { type: 'radio', name: 'radserve-scope', value: id, checked: index === 0 }),
        element('span', {}, label),
      );
    this.scopes = element(
      'div',
      { class: 'rs-scopes', role: 'radiogroup', 'aria-label': 'Ask about' },
      SCOPES.map(radio),
    );
    return this.scopes;
  }

  #buildWindow() {
    this.window = element('input', { type: 'checkbox', role: 'switch', id: 'radserve-window' });
    this.ownWindow = element('span', { class: 'rs-small' });
    this.note = element(
      'p',
      { class: 'rs-small', hidden: true },
      'The view is inverted; the inversion is not sent.',
    );
    const title = 'Show the model the image in the window you chose, in place of its own';
    const label = element(
      'label',
      { class: 'rs-switch', title },
      this.window,
      element('span', {}, 'Use my window'),
      this.ownWindow,
    );
    return element('div', {}, label, this.note);
  }

  #onKey(event) {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#send(this.text.value);
    }
  }

  #send(question) {
    if (this.#busy) return;
    if (question.trim()) this.#onAsk(question.trim());
    else this.refuse('Type a question first.');
  }
}
