/**
 * The process of a device: `session.run` blocks its thread, and a driver that aborts takes its process with it, which must not be the
 * trainer's. Started with an IPC channel by DeviceProcess.
 */
import { MuninnError } from '../../../protocol/errors.ts'
import type { Feeds } from '../feeds.ts'
import type { Description } from '../runner.ts'
import type { TrainerState } from '../trainer-state.ts'
import { type DeviceSetup, DeviceStep, type StepRates } from './device-step.ts'
import type { Device, Executor } from './executor.ts'
import { OrtExecutor } from './ort-executor.ts'
import { TfjsExecutor } from './tfjs/tfjs-executor.ts'

/** What can be asked, with its answer: one map, so that a request without a handler does not compile. */
export interface Requests {
  start: { ask: { device: Device; threads: number; setup: DeviceSetup }; answer: null }
  step: { ask: { feeds: Feeds; rates: StepRates }; answer: Float32Array }
  state: { ask: null; answer: TrainerState }
  gradient: { ask: { model: Uint8Array; feeds: Feeds }; answer: Float32Array }
  describe: { ask: null; answer: Description }
}
export type RequestName = keyof Requests

export type Request = {
  [K in RequestName]: { readonly id: number; readonly name: K; readonly ask: Requests[K]['ask'] }
}[RequestName]
export type Answer =
  | { readonly id: number; readonly answer: Requests[RequestName]['answer'] }
  | { readonly id: number; readonly error: string; readonly code: MuninnError['code'] }

let executor: Executor<unknown> | null = null
let steps: DeviceStep<unknown> | null = null

const handlers: { [K in RequestName]: (ask: Requests[K]['ask']) => Promise<Requests[K]['answer']> } = {
  start: async ({ device, threads, setup }) => {
    executor = device === 'tfjs' ? await TfjsExecutor.load() : new OrtExecutor({ provider: device, threads })
    steps = new DeviceStep({ executor, setup })
    await steps.start()
    return null
  },
  step: ({ feeds, rates }) => steps!.run(feeds, rates),
  state: () => steps!.state(),
  gradient: ({ model, feeds }) => steps!.gradient(model, feeds),
  describe: async () => ({ description: executor!.description, software: executor!.software }),
}

async function answer(request: Request): Promise<Answer> {
  const { id, name, ask } = request
  try {
    return { id, answer: await (handlers[name] as (ask: unknown) => Promise<Requests[RequestName]['answer']>)(ask) }
  } catch (error) {
    const code = error instanceof MuninnError ? error.code : 'INTERNAL'
    return { id, error: error instanceof Error ? error.message : String(error), code }
  }
}

process.on('message', (request: Request) => {
  void answer(request).then((told) => process.send!(told))
})
// Ctrl-C reaches the whole group of processes: the trainer still wants the state from here, for its checkpoint.
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
// The trainer is gone, whatever happened to it: nobody reads the steps any more.
process.on('disconnect', () => process.exit())
