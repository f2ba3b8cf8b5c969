/** The panel: joins the question, the answers, the viewer and the gateway. */

import { Exchange, recall } from './answers.mjs';
import { AnswerView } from './answer_view.mjs';
import { button, element, fill } from './elements.mjs';
import { Gateway } from './gateway.mjs';
import { findPrior } from './prior.mjs';
import { QuestionView } from './question_view.mjs';
import { makeReferences } from './references.mjs';
import { show, takeInSeries } from './reports.mjs';
import { readShown, takeSnapshot, tellPlace } from './viewport.mjs';

const PANEL = 'radserve.panelModule.ask';
const TAB = '[data-cy="ask-btn"]';
const RENDERED = 'CORNERSTONE_IMAGE_RENDERED';

export class AskPanel {
  #services;
  #extensionManager;
  #gateway;
  #pacs = null;
  #study = null;
  #running = null;
  #due = null;
  #isCalled = false; // by its key, while the viewer had hidden it
  #views = new Map(); // of each study, the views of its answers, newest first
  #undo = [];

  constructor(services, extensionManager) {
    this.#services = services;
    this.#extensionManager = extensionManager;
    this.#gateway = new Gateway(() => services.userAuthenticationService?.getAuthorizationHeader?.() ?? {});
    this.#build();
    addEventListener('keydown', event => this.#onShortcut(event), true);
  }

  /** Put the panel into the node that the viewer has for it. */
  mount(host) {
    host.replaceChildren(this.root);
    const refresh = () => this.#refreshSoon();
    const { viewportGridService } = this.#services;
    document.addEventListener(RENDERED, refresh, true);
    this.#undo.push(() => document.removeEventListener(RENDERED, refresh, true));
    for (const event of Object.values(viewportGridService.EVENTS)) {
      const { unsubscribe } = viewportGridService.subscribe(event, refresh);
      this.#undo.push(unsubscribe);
    }
    this.#meet();
    refresh();
    if (this.#isCalled) this.#focusSoon();
  }

  /** The viewer hides the panel; a running answer goes on. */
  unmount() {
    this.#undo.splice(0).forEach(undo => undo());
  }

  /** The study is closed: nothing of it stays. */
  forget() {
    this.#running?.stop.abort();
    this.#views.clear();
    this.#study = null;
    this.question.reset();
    fill(this.answers);
  }

  #build() {
    this.question = new QuestionView({
      onAsk: text => this.#ask(text),
      onStop: () => this.#running?.stop.abort(),
    });
    this.answers = element('div', {
      class: 'rs-answers',
      role: 'feed',
      'aria-label': 'Answers about this study',
    });
    this.engine = element('footer', { class: 'rs-engine' });
    const style = element('link', {
      rel: 'stylesheet',
      href: new URL('./panel.css', import.meta.url).pathname,
    });
    const hush = event => event.stopPropagation(); // keys typed here are not the viewer's
    const on = { keydown: event => this.#onKey(event), keyup: hush, keypress: hush };
    const parts = [style, this.question.root, this.answers, this.engine];
    this.root = element('section', { class: 'radserve', 'aria-label': 'Ask about the image', on }, parts);
  }

  /** Who answers, and how the gateway calls this archive. */
  async #meet() {
    try {
      const [pacs, engine] = await Promise.all([this.#gateway.pacs(), this.#gateway.engine()]);
      this.#pacs = pacs;
      fill(this.engine, ...tellEngine(engine));
    } catch (error) {
      fill(
        this.engine,
        element('p', { class: 'rs-warning' }, error.message),
        button('Try again', () => this.#meet()),
      );
    }
  }

  #refreshSoon() {
    this.#due ??= requestAnimationFrame(() => {
      this.#due = null;
      this.#refresh();
    });
  }

  /** Say what the reader sees, and open its study's answers; gives what is seen. */
  #refresh() {
    const shown = readShown(this.#services);
    this.question.tell(shown);
    if (shown && shown.study !== this.#study) this.#open(shown.study);
    return shown;
  }

  /** Show the answers about a study; those that were given before it was opened are asked for once. */
  async #open(study) {
    this.#study = study;
    const known = this.#views.get(study);
    fill(
      this.answers,
      (known ?? []).map(view => view.root),
    );
    if (known) return;
    this.#views.set(study, []);
    try {
      this.#add(study, (await this.#gateway.answersAbout(study)).reverse());
    } catch {
      // An older server has no such list. What is wrong with one that does not answer is told when it is asked.
    }
  }

  /** Put answers that were given before behind those that came in the meantime. */
  #add(study, told) {
    const views = this.#views.get(study);
    if (!views) return; // it was closed
    const places = one => (one.seen ?? []).map(seen => tellPlace(this.#services, seen));
    const isNew = one => !views.some(view => view.answerId === one.answer_id);
    const added = told.filter(isNew).map(one => this.#view(recall(one, places(one))));
    added.slice(views.length ? 0 : 1).forEach(view => view.fold());
    views.push(...added);
    if (this.#study === study) this.answers.append(...added.map(view => view.root));
  }

  async #ask(text) {
    const shown = this.#refresh();
    const { scope, useWindow } = this.question;
    if (!shown || (shown.reason && scope !== 'series')) {
      this.question.refuse(`There is nothing to ask about: ${shown?.reason ?? 'no image is open'}.`);
      return;
    }
    const exchange = new Exchange(text, [], takeSnapshot(shown));
    exchange.wish = { shown, scope, useWindow };
    const view = this.#view(exchange);
    const views = this.#views.get(shown.study);
    views.forEach(other => other.fold());
    views.unshift(view);
    this.answers.prepend(view.root);
    this.question.clear();
    await this.#run(exchange, view);
  }

  async #run(exchange, view) {
    if (this.#running) return;
    this.#running = exchange;
    this.question.setBusy(true);
    Object.assign(exchange, { state: 'running', text: '', error: null, stop: new AbortController() });
    view.update();
    try {
      await this.#answer(exchange, view);
      exchange.state = 'done';
    } catch (error) {
      exchange.state = exchange.stop.signal.aborted ? 'stopped' : 'failed';
      exchange.error = error;
    }
    this.#running = null;
    this.question.setBusy(false);
    view.update();
    if (exchange.state === 'done') await this.#see(exchange, view);
  }

  async #answer(exchange, view) {
    const { shown, ...wish } = exchange.wish;
    const made = await makeReferences(shown, {
      ...wish,
      pacs: this.#pacs,
      findPrior: one => this.#findPrior(one),
    });
    Object.assign(exchange, made);
    view.update();
    const onDelta = delta => {
      exchange.text += delta;
      view.say(exchange.text);
    };
    exchange.answer = await this.#gateway.ask(exchange.question, made.references, {
      signal: exchange.stop.signal,
      onDelta,
    });
    exchange.text = exchange.answer.answer;
  }

  #findPrior(shown) {
    return findPrior(this.#dataSource(), this.#gateway.authorize, shown);
  }

  /** What the model saw, and whether the digests say that it is just that. */
  async #see(exchange, view) {
    try {
      const several = await Promise.all(
        exchange.references.map(reference => this.#gateway.render(reference)),
      );
      const records = exchange.clinical.images;
      const name = index => (index ? 'The model, prior' : 'The model');
      const images = several.flatMap((some, index) => some.map(one => ({ ...one, who: name(index) })));
      images.forEach(
        (one, index) => (one.place = this.#tellPlace(exchange.clinical.seen?.[index], one.record)),
      );
      const same = images.map((image, index) => image.record.pixels_sha256 === records[index]?.pixels_sha256);
      exchange.seen = { images, verified: images.length === records.length && same.every(Boolean) };
    } catch (error) {
      exchange.seen = { images: [], error };
    }
    view.update();
  }

  /** Where the viewer has a slice: its stack may run the other way than the server's. */
  #tellPlace(seen, { slice }) {
    const place = seen ? tellPlace(this.#services, seen) : '';
    return place || (slice?.slices > 1 ? `slice ${slice.slice} of ${slice.slices}` : '');
  }

  #view(exchange) {
    return new AnswerView(exchange, {
      retry: view => this.#run(exchange, view),
      file: view => this.#file(exchange, view),
      rate: (view, verdict) => this.#rate(exchange, view, verdict),
      showReport: uid => show(this.#services, uid),
    });
  }

  async #file(exchange, view) {
    exchange.filed = { running: true };
    view.update();
    try {
      const report = await this.#gateway.file(exchange.answerId, this.#pacs);
      exchange.filed = { report, displaySet: null };
      const where = { dataSource: this.#dataSource(), displaySetService: this.#services.displaySetService };
      exchange.filed.displaySet = await takeInSeries(where, report.study, report.series).catch(() => null);
    } catch (error) {
      exchange.filed = { error };
    }
    view.update();
  }

  async #rate(exchange, view, verdict) {
    exchange.verdict = { running: true };
    view.update();
    try {
      await this.#gateway.rate(exchange.answerId, verdict);
      exchange.verdict = { given: verdict };
    } catch (error) {
      exchange.verdict = { error };
    }
    view.update();
  }

  #dataSource() {
    return this.#extensionManager.getActiveDataSource()[0];
  }

  #onKey(event) {
    event.stopPropagation();
    if (event.key === 'Escape' && !this.root.querySelector('dialog[open]')) this.#running?.stop.abort();
  }

  #onShortcut(event) {
    if (!event.altKey || event.ctrlKey || event.metaKey || event.code !== 'KeyQ') return;
    event.preventDefault();
    event.stopPropagation();
    this.#isCalled = !this.root.isConnected;
    this.#services.panelService.activatePanel(PANEL, true);
    // The viewer does not open by itself what its reader has closed by hand: that takes a click on the tab.
    if (this.#isCalled) document.querySelector(TAB)?.click();
    this.#focusSoon();
  }

  #focusSoon() {
    requestAnimationFrame(() => {
      this.question.focus();
      if (this.root.isConnected) this.#isCalled = false;
    });
  }
}

function tellEngine(engine) {
  if (!engine)
    return [
      element('p', { class: 'rs-warning' }, 'The engine has not answered yet; it may still be loading.'),
    ];
  const { gate, intended_use: use } = engine.clinical;
  const name = element('p', {}, `${engine.id} · gate ${gate}`);
  return [name, use && element('p', { class: 'rs-use' }, use)];
}
