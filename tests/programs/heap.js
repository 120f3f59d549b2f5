// heap.js - a V8 heap with holes, and one of a worker, that report their own statistics.
//
// Prints one line of JSON: its pid, and the name and the size of each space of each isolate, as
// v8.getHeapSpaceStatistics() has them. Then it waits until its standard input ends. With `churn` it allocates
// all the time instead, until it is killed.
//
// Run:  node heap.js [churn]
'use strict';
const v8 = require('v8');
const worker = require('worker_threads');

// Objects of many sizes, of which every third stays, large ones, and functions.
function fill(count) {
  const kept = [];
  for (let i = 0; i < count; i++) {
    const object = { index: i, text: 'block ' + i, list: new Array(i % 60).fill(i) };
    if (i % 3 === 0) kept.push(object);
  }
  for (let i = 0; i < 6; i++) kept.push(new Array(40000 + 20000 * i).fill(i));
  for (let i = 0; i < 200; i++) kept.push(new Function('a', `return a + ${i};`));
  for (const item of kept) if (typeof item === 'function') for (let i = 0; i < 200; i++) item(i);
  return kept;
}

function spaces() {
  const sizes = {};
  for (const space of v8.getHeapSpaceStatistics()) sizes[space.space_name] = space.space_size;
  return sizes;
}

if (worker.isMainThread) {
  const kept = fill(120000);
  const other = new worker.Worker(__filename);
  other.on('message', (theirs) => {
    global.kept = kept;
    setTimeout(() => {
      console.log(JSON.stringify({ pid: process.pid, version: process.versions.v8, isolates: [spaces(), theirs] }));
      if (process.argv[2] === 'churn') for (let i = 0; ; i++) kept[i % 16] = fill(i % 3000);
      require('fs').readSync(0, Buffer.alloc(1));
      process.exit(0);
    }, 200);
  });
} else {
  global.kept = fill(20000);
  worker.parentPort.postMessage(spaces());
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
