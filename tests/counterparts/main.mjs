// One counterpart in a process of its own: `node main.mjs gateway|rpc|routing|s3|archive|cluster|faults [TARGET]`.
//
// It says where it is in one line of JSON, and ends when its standard input does or on SIGTERM, so that it cannot
// outlive the test that started it.

// The packages want it, and Node has it from 22 on.
Promise.withResolvers ??= function () {
  const deferred = {};
  deferred.promise = new this((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  return deferred;
};

// Standard output is for the one line: packages that print go to standard error.
console.log = console.info = console.error;

const STARTS = {
  gateway: async () => (await import('./gateway.mjs')).startGateway(),
  rpc: async () => (await import('./rpc/rpc.mjs')).startRpc(),
  s3: async () => (await import('./s3.mjs')).startS3(),
  archive: async () => (await import('./archive-service.mjs')).startArchive(),
  cluster: async () => (await import('./cluster.mjs')).startCluster(),
  routing: async () => (await import('./routing.mjs')).startRouting(),
  faults: async (target) => (await import('./faults.mjs')).startFaults(target),
};

const [, , name, target] = process.argv;
if (!STARTS[name] || (name === 'faults' && !target)) {
  console.error('usage: node main.mjs gateway|rpc|routing|s3|archive|cluster|faults [TARGET]');
  process.exit(2);
}

let running;
let ending;
const end = () => {
  ending ??= (async () => {
    // What does not close at once is not worth waiting for.
    setTimeout(() => process.exit(0), 5_000).unref();
    await (await running)?.close().catch((error) => console.error(error));
    process.exit(0);
  })();
};
process.stdin.on('end', end).on('error', end).resume();
process.on('SIGTERM', end);
process.on('SIGINT', end);
// Helia leaves some behind where a block is missing.
process.on('unhandledRejection', (error) => console.error(`unhandled: ${error?.message ?? error}`));

running = STARTS[name](target);
try {
  process.stdout.write(`${JSON.stringify({ url: (await running).url })}\n`);
} catch (error) {
  console.error(error);
  process.exit(1);
}
