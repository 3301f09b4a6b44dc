/** A thread of the probing process that ends it when it takes too much memory: onnxruntime allocates outside of what Node can bound. */
import { writeSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'

const mebibytes = Number(workerData)

function watch(): void {
  if (process.memoryUsage.rss() <= mebibytes * 2 ** 20) return
  // Straight to the descriptor: the main thread, which streams go through, is busy.
  writeSync(2, `more than ${mebibytes} MiB of memory\n`)
  process.kill(process.pid, 'SIGKILL')
}

watch()
setInterval(watch, 20)
parentPort!.postMessage('watching')
