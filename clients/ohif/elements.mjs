/** Makes DOM elements. Text only ever becomes text nodes, so nothing that an archive or a model says is markup. */

/**
 * An element with attributes and children; `on` holds listeners by event, a false or missing value leaves the
 * attribute or child out.
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'on') listen(made, value);
    else if (value === true) made.setAttribute(key, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, String(value));
  }
  made.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

/** A button that does not send a form. */
export function button(label, onClick, attributes = {}) {
  return element('button', { type: 'button', ...attributes, on: { click: onClick } }, label);
}

/** Put children in the place of those that are there. */
export function fill(parent, ...children) {
  parent.replaceChildren(
    ...children.flat().filter(child => child !== null && child !== undefined && child !== false),
  );
}

function listen(made, listeners) {
  for (const [event, listener] of Object.entries(listeners)) made.addEventListener(event, listener);
}
