/** Copies text, also where the viewer is served without TLS and the browser keeps its clipboard shut. */

const SAID_MS = 1500;

/** Copy, and say so on the button that was pressed. */
export async function copyText(text, pressed) {
  const label = pressed.textContent;
  const done = navigator.clipboard ? await write(text) : copySelected(text);
  pressed.textContent = done ? 'Copied' : 'Not allowed';
  setTimeout(() => (pressed.textContent = label), SAID_MS);
}

async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

function copySelected(text) {
  const area = document.createElement('textarea');
  area.value = text;
  area.style.position = 'fixed';
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}
