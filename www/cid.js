// A CID that can be copied.

import { h, say } from './dom.js';
import { short } from './format.js';
import { icon } from './icons.js';

export function copyable(cid, { whole = false } = {}) {
  const label = h('span', {}, icon('copy'));
  const button = h('button', { className: 'quiet copy', 'aria-label': `Copy the CID ${cid}`, title: 'Copy the CID' }, label);
  button.onclick = async () => {
    await navigator.clipboard.writeText(cid);
    label.replaceChildren(icon('check'));
    say('Copied');
    setTimeout(() => label.replaceChildren(icon('copy')), 1500);
  };
  return h('span', { className: 'cid' }, h('code', { title: cid }, whole ? cid : short(cid)), button);
}
