// A small film, made by the browser: VP8 in WebM with an index, so that one can seek in it.

/** To be run in a page: so many seconds, a picture of noise twice a second, about 200 kB each. Gives its bytes as base64. */
export async function film(seconds) {
  const width = 640;
  const height = 360;
  const chunks = [];
  const encoder = new VideoEncoder({ output: (chunk) => chunks.push(chunk), error: (error) => { throw error; } });
  encoder.configure({ codec: 'vp8', width, height, bitrate: 8_000_000 });
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  const picture = context.createImageData(width, height);
  for (let at = 0; at < seconds * 2; at += 1) {
    for (let byte = 0; byte < picture.data.length; byte += 1) picture.data[byte] = byte % 4 === 3 ? 255 : Math.random() * 256;
    context.putImageData(picture, 0, 0);
    const frame = new VideoFrame(canvas, { timestamp: at * 500_000 });
    encoder.encode(frame, { keyFrame: true });
    frame.close();
    await new Promise((resolve) => setTimeout(resolve));
  }
  await encoder.flush();

  const number = (value) => Uint8Array.from([24, 16, 8, 0], (shift) => (value >>> shift) & 255);
  const float = (value) => new Uint8Array(new Float64Array([value]).buffer).reverse();
  const text = (value) => new TextEncoder().encode(value);
  const element = (id, ...parts) => {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const head = [...id.match(/../g).map((pair) => parseInt(pair, 16)), 0x10 | (length >>> 24), (length >>> 16) & 255, (length >>> 8) & 255, length & 255];
    const whole = new Uint8Array(head.length + length);
    whole.set(head);
    let end = head.length;
    for (const part of parts) whole.set(part, (end += part.length) - part.length);
    return whole;
  };
  const header = element('1A45DFA3', element('4282', text('webm')), element('4287', number(2)), element('4285', number(2)));
  const info = element('1549A966', element('2AD7B1', number(1_000_000)), element('4489', float(seconds * 1000)), element('4D80', text('test')), element('5741', text('test')));
  const video = element('E0', element('B0', number(width)), element('BA', number(height)));
  const track = element('AE', element('D7', number(1)), element('73C5', number(1)), element('83', number(1)), element('86', text('V_VP8')), video);
  const tracks = element('1654AE6B', track);
  const clusters = chunks.map((chunk) => {
    const data = new Uint8Array(chunk.byteLength);
    chunk.copyTo(data);
    return element('1F43B675', element('E7', number(chunk.timestamp / 1000)), element('A3', [0x81, 0, 0, 0x80], data));
  });
  const cues = (from) => {
    let at = from;
    const points = clusters.map((cluster, index) => {
      const place = element('B7', element('F7', number(1)), element('F1', number(at)));
      at += cluster.length;
      return element('BB', element('B3', number(index * 500)), place);
    });
    return element('1C53BB6B', ...points);
  };
  const before = info.length + tracks.length;
  const index = cues(before + cues(0).length);
  const film = new Blob([header, element('18538067', info, tracks, index, ...clusters)]);
  const url = await new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(film);
  });
  return url.slice(url.indexOf(',') + 1);
}
