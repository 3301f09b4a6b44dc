/**
 * Loaded into a `muninn` (`NODE_OPTIONS=--import`): appends a line to the file named by RECORD_SESSIONS for each thread of a training, and for
 * each session of onnxruntime's in it, with the threads that it was given.
 */
import { appendFileSync } from 'node:fs'
import { basename } from 'node:path'
import ort from 'onnxruntime-node'

const path = process.env.RECORD_SESSIONS
// Of a worker thread this is the worker's file. What short-lived processes do, in which a file is tried, is not of interest.
const by = basename(process.argv[1] ?? '', '.js')
if (path && ['main', 'step-worker', 'loader-worker'].includes(by)) {
  const record = (line: object) => appendFileSync(path, `${JSON.stringify({ by, ...line })}\n`)
  record({})
  const create = ort.InferenceSession.create as (...args: unknown[]) => Promise<ort.InferenceSession>
  const recording = async (...args: unknown[]) => {
    const { intraOpNumThreads = 0 } = (args[1] ?? {}) as ort.InferenceSession.SessionOptions
    record({ session: intraOpNumThreads })
    return await create.apply(ort.InferenceSession, args)
  }
  Object.assign(ort.InferenceSession, { create: recording })
}
