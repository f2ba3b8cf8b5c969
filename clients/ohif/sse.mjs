/** Server-sent events out of a response's bytes, however the network cut them. */

/** Yields {event, data} for each event of a stream of bytes; `data` is text. */
export async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      waiting += value;
      // A carriage return at the end may be half of a line's end: it waits for the rest.
      const whole = waiting.endsWith('\r') ? waiting.slice(0, -1) : waiting;
      const blocks = whole.replaceAll('\r\n', '\n').replaceAll('\r', '\n').split('\n\n');
      const cut = waiting.slice(whole.length);
      waiting = blocks.pop() + cut;
      for (const block of blocks) {
        const event = readBlock(block);
        if (event) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function readBlock(block) {
  let event = 'message';
  const data = [];
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    if (colon === 0 || line === '') continue; // a comment, which keeps the connection alive
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') event = value;
    if (field === 'data') data.push(value);
  }
  return data.length ? { event, data: data.join('\n') } : null;
}
