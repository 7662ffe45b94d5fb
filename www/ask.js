// A question before something that cannot be undone.

import { h } from './dom.js';

/** Resolves to whether the answer was yes. */
export function ask(title, text, yes, { dangerous = false } = {}) {
  return new Promise((resolve) => {
    const dialog = h(
      'dialog',
      { 'aria-labelledby': 'question', onclose: () => (dialog.remove(), resolve(dialog.returnValue === 'yes')) },
      h(
        'form',
        { method: 'dialog' },
        h('h2', { id: 'question' }, title),
        [text].flat().map((line) => h('p', {}, line)),
        h(
          'p',
          { className: 'actions' },
          h('button', { value: 'no', autofocus: true }, 'Cancel'),
          h('button', { value: 'yes', className: dangerous ? 'danger' : 'primary' }, yes),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
