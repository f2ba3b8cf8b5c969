/** Talks to the radserve gateway, at the address the viewer came from, with the viewer's login. */

import { readEvents } from './sse.mjs';

/** What went wrong, in words for the person; `code` is for programs. */
export class GatewayError extends Error {
  constructor(message, code, status = null) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

export class Gateway {
  /** `authorize` gives the headers of the login, or nothing. */
  constructor(authorize) {
    this.authorize = authorize;
  }

  /** The name under which the gateway knows the viewer's archive. */
  async pacs() {
    return (await this.#json('GET', '/radserve/config.json')).pacs ?? null;
  }

  /** The engine that answers, as /v1/models tells of it; null while there is none. */
  async engine() {
    return (await this.#json('GET', '/v1/models')).data[0] ?? null;
  }

  /** The whole answer; `onDelta` gets its text piece by piece. */
  async ask(question, references, { signal, onDelta }) {
    const asked = { question, image_dicom: references };
    const response = await this.#send('POST', '/v1/vqa', asked, { accept: 'text/event-stream', signal });
    let answer = null;
    try {
      // Read to the end, so that the connection can be used again.
      for await (const { event, data } of readEvents(response.body)) {
        if (event === 'delta') onDelta(JSON.parse(data).delta);
        if (event === 'answer') answer = JSON.parse(data);
        if (event === 'error') throw read(JSON.parse(data), null);
      }
    } catch (error) {
      throw told(error);
    }
    if (answer === null) throw new GatewayError('The answer broke off before its end.', 'answer_cut');
    return answer;
  }

  /** What the model would see of a reference: a list of {png_base64, record}. */
  async render(reference, signal) {
    return (await this.#json('POST', '/v1/render', { image_dicom: reference }, signal)).images;
  }

  /** File an answer as a draft report in the archive that the gateway calls `pacs`. */
  async file(answerId, pacs) {
    return this.#json('POST', '/v1/reports', { answer_id: answerId, ...(pacs ? { pacs } : {}) });
  }

  /** Say whether an answer was good: `verdict` is "up" or "down". */
  async rate(answerId, verdict) {
    return this.#json('POST', '/v1/feedback', { answer_id: answerId, verdict });
  }

  /** The answers about a study that this reader may see, oldest first. */
  async answersAbout(study) {
    return (await this.#json('POST', '/v1/answers/search', { study })).data;
  }

  async #json(method, path, body, signal) {
    const response = await this.#send(method, path, body, { accept: 'application/json', signal });
    try {
      return await response.json();
    } catch (error) {
      throw told(error);
    }
  }

  async #send(method, path, body, { accept, signal }) {
    const headers = { accept, ...this.authorize() };
    if (body !== undefined) headers['content-type'] = 'application/json';
    const given = { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal };
    let response;
    try {
      response = await fetch(path, { ...given, credentials: 'same-origin', cache: 'no-store' });
    } catch (error) {
      throw told(error);
    }
    if (response.ok) return response;
    throw read(await response.json().catch(() => null), response.status);
  }
}

/** From the gateway's error shape. */
function read(body, status) {
  const error = body?.error;
  if (typeof error?.message === 'string')
    return new GatewayError(sentence(error.message), error.code ?? 'error', status);
  return new GatewayError(
    `The server answered with status ${status}, and without a reason.`,
    `http_${status}`,
    status,
  );
}

/** From what fetch throws; an answer that was stopped stays what it is. */
function told(error) {
  if (error instanceof GatewayError || error?.name === 'AbortError') return error;
  if (error instanceof SyntaxError)
    return new GatewayError('The server answered with something unreadable.', 'unreadable');
  return new GatewayError(
    'The server cannot be reached: it may have ended, or the network is down.',
    'unreachable',
  );
}

function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
