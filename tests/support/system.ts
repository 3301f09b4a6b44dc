/** The real system for end-to-end tests and benchmarks: hub, trainer and device as their own processes, on free ports, in a folder of their own. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Static, TSchema } from 'typebox'
import { Child } from '../../cli/child.ts'
import { type CameraChoice, prepareDevice, trainerToken } from '../../cli/up-setup.ts'
import { HubApi } from '../../trainer/hub-client/hub-api.ts'

const bootstrapToken = 'a-bootstrap-token-for-tests-only'

export interface HubProcess {
  readonly api: HubApi
  readonly url: string
  readonly mqttUrl: string
  readonly signInUrl: string
  readonly child: Child
}

const said: string[] = []
/** What the parts said of unexpected deaths; empty in a healthy run. */
export const deaths: readonly string[] = said

/** Starts a hub and waits until it says that it is ready. */
export async function startHub(folder: string, flags: readonly string[] = []): Promise<HubProcess> {
  mkdirSync(folder, { recursive: true })
  const child = new Child({
    name: 'hub',
    args: ['hub', '--data', join(folder, 'hub'), '--port', '0', '--mqtt-port', '0', ...flags],
    env: { MUNINN_BOOTSTRAP_TOKEN: bootstrapToken },
    logFile: join(folder, 'logs', 'hub.log'),
    onDeath: (words) => said.push(words),
  })
  const ready = await new Promise<Pick<HubProcess, 'url' | 'mqttUrl' | 'signInUrl'>>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the hub did not become ready; see ${folder}/logs/hub.log`)), 60_000)
    child.start((message) => {
      if (typeof message !== 'object' || message === null || !('ready' in message)) return
      clearTimeout(timer)
      resolve(message as unknown as HubProcess)
    })
  })
  return { ...ready, child, api: new HubApi({ url: ready.url, token: bootstrapToken }) }
}

/** Starts a trainer that works for this hub. */
export async function startTrainer(hub: HubProcess, folder: string): Promise<Child> {
  const child = new Child({
    name: 'trainer',
    args: ['trainer', '--hub', hub.url, '--data', join(folder, 'trainer')],
    env: { MUNINN_TOKEN: await trainerToken(hub.api, folder) },
    logFile: join(folder, 'logs', 'trainer.log'),
    onDeath: (words) => said.push(words),
  })
  child.start()
  return child
}

/** Enrols (once) and starts a device with these camera sources. */
export async function startDevice(hub: HubProcess, folder: string, cameras: readonly CameraChoice[]): Promise<Child> {
  const config = await prepareDevice(hub.api, { folder, mqttUrl: hub.mqttUrl, cameras })
  const child = new Child({
    name: 'device',
    args: ['agent', '--config', config],
    logFile: join(folder, 'logs', 'device.log'),
    onDeath: (words) => said.push(words),
  })
  child.start()
  return child
}

/** Asks the hub until `done`, or fails with the last answer after `seconds`. */
export async function waitFor<T extends TSchema>(
  api: HubApi,
  path: string,
  schema: T,
  done: (answer: Static<T>) => boolean,
  seconds: number,
): Promise<Static<T>> {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const answer = await api.get(path, schema)
    if (done(answer)) return answer
    if (Date.now() > end)
      throw new Error(
        `${path} did not come to what was awaited within ${seconds} s; last: ${JSON.stringify(answer).slice(0, 2000)}`,
      )
    await sleep(250)
  }
}
