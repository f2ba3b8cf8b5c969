/** The answers of this session, by study. They live as long as the study is open, and only in this page. */

/** One question on its way, and what became of it. `state`: running, done, stopped or failed. */
export class Exchange {
  constructor(question, words = [], snapshot = null) {
    Object.assign(this, { question, words, snapshot, state: 'running', text: '', answer: null, error: null });
    Object.assign(this, {
      references: [],
      seen: null,
      filed: null,
      verdict: null,
      stop: new AbortController(),
    });
  }

  get clinical() {
    return this.answer?.clinical ?? null;
  }

  get answerId() {
    return this.clinical?.answer_id ?? null;
  }
}

/** An answer given before the study was opened, as /v1/answers/search tells of it; `places` say of which slices. */
export function recall(told, places) {
  const origin = told.standing ? 'a standing question' : 'asked before';
  const exchange = new Exchange(told.question, [...places, origin, tellTime(told.created)]);
  const { answer_id, confidence, abstained, warnings } = told;
  exchange.state = 'done';
  exchange.text = told.answer;
  exchange.answer = {
    answer: told.answer,
    clinical: { answer_id, confidence, abstained, warnings: warnings ?? [] },
  };
  return exchange;
}

/** "1 of 28 frames", where the model was shown but a part of a cine; else null. Of slices the server itself warns. */
export function tellPart({ clinical, wish }) {
  if (wish?.scope !== 'series' || !clinical?.images?.length) return null;
  const [{ slice, number_of_frames: frames }] = clinical.images;
  const { length: shown } = clinical.seen;
  return !slice && shown < frames ? `${shown} of ${frames} frames` : null;
}

/** What is copied: question, answer, how sure the model is, and which engine it was. */
export function tellPlainly(exchange) {
  const { clinical, text, question } = exchange;
  const engine = clinical?.engine;
  const part = tellPart(exchange);
  const lines = [
    `Question: ${question}`,
    `Answer: ${text}`,
    ...(part ? [`Shown to the model: ${part} of the series`] : []),
    `Confidence: ${tellConfidence(clinical)}`,
    ...(clinical?.warnings ?? []).map(warning => `Warning: ${warning}`),
  ];
  if (engine) lines.push(`Engine: ${engine.name}, ${engine.digest}, gate ${engine.gate}`);
  if (engine?.intended_use) lines.push(`Intended use: ${engine.intended_use}`);
  return [...lines, 'Draft by a machine, not verified by a physician.'].join('\n');
}

/** The confidence in words, with its share where there is one. */
export function tellConfidence(clinical) {
  const { confidence, abstained } = clinical ?? {};
  if (confidence === null || confidence === undefined) {
    return `not known${clinical?.confidence_basis?.reason ? `: ${clinical.confidence_basis.reason}` : ''}`;
  }
  const word = abstained ? 'too low' : confidence >= 0.9 ? 'high' : confidence >= 0.7 ? 'moderate' : 'low';
  return `${word}, ${Math.round(100 * confidence)}\u00a0%`;
}

function tellTime(created) {
  const at = new Date(created);
  return Number.isNaN(at.getTime()) ? '' : at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}
