// Elements, made and put in place.

const SVG = 'http://www.w3.org/2000/svg';

/** An element with properties (`onclick`, `className`), attributes (`aria-label`, `role`, `data-…`) and children. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (name.includes('-') || name === 'role' || name === 'for') element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== false));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.flat());
  return element;
}

/** Puts children in the place of others. What had the focus, by its `data-key`, has it again, and so has the cursor in a text. */
export function render(parent, ...children) {
  const { activeElement } = document;
  const key = parent.contains(activeElement) ? activeElement.dataset.key : undefined;
  const cursor = [activeElement?.selectionStart, activeElement?.selectionEnd];
  parent.replaceChildren(...children.flat(Infinity).filter((child) => child !== undefined && child !== false));
  if (key === undefined) return;
  const next = parent.querySelector(`[data-key="${CSS.escape(key)}"]`);
  next?.focus();
  if (typeof cursor[0] === 'number') next?.setSelectionRange(...cursor);
}

export const at = (id) => document.getElementById(id);

/** Says something to those who listen to the page. */
export function say(text) {
  at('says').textContent = text;
}
