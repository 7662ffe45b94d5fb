// The entries of one wide directory, the same in Node, in pages, and in `wasmtime/src/trees.rs`.

export const WIDE_ENTRIES = 20_000;

export const wideName = (number) => `entry-${String(number).padStart(5, '0')}`;

export function* wideEntries() {
  const encoder = new TextEncoder();
  for (let number = 0; number < WIDE_ENTRIES; number++) {
    const path = wideName(number);
    yield { path, content: encoder.encode(`This is what is in ${path}.\n`) };
  }
}
