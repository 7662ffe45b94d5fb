// The pages that the gateway makes itself: listings of directories, and errors.

const STYLE = `
  :root { color-scheme: light dark; --line: color-mix(in srgb, CanvasText 16%, Canvas); --soft: color-mix(in srgb, CanvasText 65%, Canvas); }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
  h1 { font-size: 1.25rem; overflow-wrap: anywhere; font-weight: 600; }
  code { font: 0.875rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; color: var(--soft); }
  a { color: LinkText; text-decoration: none; } a:hover, a:focus-visible { text-decoration: underline; }
  ul { list-style: none; padding: 0; border-top: 1px solid var(--line); }
  li { display: flex; gap: 1rem; padding: 0.5rem 0; border-bottom: 1px solid var(--line); }
  li a { flex: 1; overflow-wrap: anywhere; } li span { color: var(--soft); font-variant-numeric: tabular-nums; white-space: nowrap; }`;

const TITLES = {
  400: 'This is no address of something stored',
  403: 'This leads where it must not',
  404: 'There is nothing at this address',
  405: 'Only reading is offered here',
  406: 'Not in this form',
  412: 'This is not held here',
  416: 'The file is not that long',
  501: 'This cannot be shown',
  502: 'What was sent is not what the address says',
  503: 'The store is in use elsewhere',
  504: 'This is not held here, and could not be fetched',
  507: 'There is no room left',
};

export function errorPage(status, { message }) {
  const title = TITLES[status] ?? 'This went wrong';
  return page(title, `<h1>${title}</h1><p>${escape(message)}</p><p><code>${status}</code></p>`);
}

/** A directory as a page, entry by entry: it may be of any length. */
export function listing(storage, info, { path, names, offline }) {
  const title = escape(names.at(-1) ?? info.filename ?? info.cid);
  const [head, tail] = page(title, `<h1>${title}</h1>${title === info.cid ? '' : `<code>${escape(info.cid)}</code>`}<ul>\0</ul>`).split('\0');
  const encoder = new TextEncoder();
  const pages = (async function* () {
    yield head + (names.length > 0 ? '<li><a href="../">..</a></li>' : '');
    let after;
    do {
      const { files, next } = await storage.listFiles(path, { after, limit: 500, offline });
      yield files.map(item).join('');
      after = next;
    } while (after !== undefined);
    yield tail;
  })();
  return new ReadableStream(
    {
      pull: async (controller) => {
        const { done, value } = await pages.next();
        if (done) controller.close();
        else controller.enqueue(encoder.encode(value));
      },
      cancel: () => void pages.return(),
    },
    { highWaterMark: 0 },
  );
}

function item({ filename, kind, size, dagSize }) {
  const slash = kind === 'directory' ? '/' : '';
  const bytes = size ?? dagSize;
  const figure = bytes === undefined || kind === 'directory' ? '' : `${bytes.toLocaleString('en')} B`;
  // With the dot a name that looks like a scheme stays a name.
  return `<li><a href="./${encodeURIComponent(filename)}${slash}">${escape(filename)}${slash}</a><span>${figure}</span></li>`;
}

function page(title, body) {
  const meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">';
  return `<!doctype html><html lang="en">${meta}<title>${title}</title><style>${STYLE}</style><body>${body}</body></html>`;
}

function escape(text) {
  return String(text).replace(/[&<>"'\0]/g, (char) => (char === '\0' ? '\ufffd' : `&#${char.charCodeAt(0)};`));
}
