/** `muninn up`: hub, one trainer and one device on this machine, in one process tree; a link to sign in; a clean stop on Ctrl-C. */
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { defineCommand } from 'citty'
import { MuninnError } from '../protocol/errors.ts'
import { parseThreads } from '../trainer/engine/threads.ts'
import { trainerEnvironment } from '../trainer/environment.ts'
import { HubApi } from '../trainer/hub-client/hub-api.ts'
import { Child } from './child.ts'
import { freePort } from './free-port.ts'
import { followLoop } from './up-progress.ts'
import { firstSettings, importFirstModel, prepareDevice, trainerToken } from './up-setup.ts'

interface Ready {
  readonly url: string
  readonly signInUrl: string
  readonly mqttUrl: string
}

const isReady = (message: unknown): message is Ready & { ready: true } =>
  typeof message === 'object' &&
  message !== null &&
  'ready' in message &&
  'url' in message &&
  'signInUrl' in message &&
  'mqttUrl' in message

export const up = defineCommand({
  meta: {
    name: 'up',
    description: `Starts the hub, one trainer and one device on this machine.

With no flags the camera is a street that Muninn draws itself. Examples:
  muninn up --camera rtsp://camera.local/stream1
  muninn up --camera film.mp4 --model yolox.onnx --adapter yolox --classes coco.names
  muninn up --camera folder/of/pictures --host 0.0.0.0`,
  },
  args: {
    camera: {
      type: 'string',
      description: 'rtsp://…, a video file, a folder of pictures or /dev/videoN; may be given several times',
    },
    model: { type: 'string', description: 'the detector to start from (ONNX, adopted or foreign with --adapter)' },
    adapter: { type: 'string', description: 'how to read a foreign detector: auto, or its family as in muninn adopt --help' },
    classes: { type: 'string', description: 'its class names, one a line' },
    data: { type: 'string', default: './muninn-data', description: 'folder for everything that is kept' },
    host: { type: 'string', default: '127.0.0.1', description: 'address the page and the broker listen on' },
    port: { type: 'string', default: '8080', description: 'port of the page (another free one is taken when it is busy)' },
    'mqtt-port': { type: 'string', default: '1883', description: 'port of the broker (likewise)' },
    broker: { type: 'string', description: 'an external broker, mqtt(s)://user:password@host, instead of the embedded one' },
    'trainer-threads': {
      type: 'string',
      description: 'cores that a training may keep busy; left out: all of them, and cameras and the page go first',
    },
    'labels-per-round': { type: 'string', description: 'labels after which training starts (first start only; demo: 40)' },
    'self-label': { type: 'string', description: 'demo only: off, person or at-once' },
    'auto-deploy': { type: 'boolean', description: 'roll a model out by itself once it passed the gate (first start only)' },
  },
  async run({ args, rawArgs }) {
    const cameras = (
      parseArgs({ args: rawArgs, options: { camera: { type: 'string', multiple: true } }, strict: false }).values.camera ?? []
    ).map(String)
    const trainerThreads = args['trainer-threads']
    // Before anything is started: a trainer that refuses it would be started again and again.
    parseThreads(trainerThreads, 'trainer-threads')
    const demo = cameras.length === 0
    const folder = resolve(args.data)
    mkdirSync(folder, { recursive: true })
    const token = randomBytes(32).toString('base64url')
    const say = (words: string) => console.log(words)
    const logFile = (name: string) => join(folder, 'logs', `${name}.log`)

    const port = await freePort(Number(args.port), args.host)
    const mqttPort = await freePort(Number(args['mqtt-port']), args.host)
    const children: Child[] = []
    const stopped = untilSignal()
    try {
      const hub = new Child({
        name: 'hub',
        args: [
          ...['hub', '--data', join(folder, 'hub'), '--host', args.host, '--port', String(port), '--mqtt-port', String(mqttPort)],
          ...(args.broker ? ['--broker', args.broker] : []),
          ...(demo ? ['--demo'] : []),
        ],
        env: { MUNINN_BOOTSTRAP_TOKEN: token },
        logFile: logFile('hub'),
        onDeath: say,
      })
      children.push(hub)
      const ready = await startHub(hub, logFile('hub'))
      const api = new HubApi({ url: ready.url, token })
      await firstSettings(api, {
        demo,
        labelsPerRound: args['labels-per-round'],
        autoDeploy: args['auto-deploy'],
        selfLabel: args['self-label'],
      })
      const model = await importFirstModel(api, { demo, model: args.model, adapter: args.adapter, classes: args.classes, folder })
      const config = await prepareDevice(api, {
        folder,
        mqttUrl: ready.mqttUrl,
        cameras: (demo ? ['demo://street?seed=1'] : cameras).map((source) => ({ source })),
      })

      const trainer = new Child({
        name: 'trainer',
        args: [
          ...['trainer', '--hub', ready.url, '--data', join(folder, 'trainer')],
          ...(trainerThreads ? ['--threads', trainerThreads] : []),
        ],
        env: { ...trainerEnvironment, MUNINN_TOKEN: await trainerToken(api, folder) },
        logFile: logFile('trainer'),
        onDeath: say,
      })
      const agent = new Child({ name: 'device', args: ['agent', '--config', config], logFile: logFile('device'), onDeath: say })
      children.push(trainer, agent)
      trainer.start()
      agent.start()

      say(`
  Muninn is running. Open this link (it signs you in, once):

    ${ready.signInUrl}

  camera   ${demo ? 'the demo street (day first; dusk and rain follow)' : cameras.map(nameOf).join(', ')}
  model    ${model}
  data     ${folder}        logs  ${join(folder, 'logs')}
  stop     Ctrl-C
`)
      const follow = followLoop(api, say)
      await stopped
      follow.stop()
      say('Stopping …')
    } finally {
      // The device first, so that its last status still reaches the hub.
      for (const child of children.reverse()) await child.stop()
    }
    say('Stopped. Everything is kept; start again and it carries on.')
  },
})

/** A camera's source without any password in it. */
function nameOf(source: string): string {
  return source.replace(/\/\/[^@/]*@/, '//')
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve())
  })
}

/** @throws MuninnError UNAVAILABLE when the hub does not come up within a minute. */
function startHub(hub: Child, logFile: string): Promise<Ready> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new MuninnError('UNAVAILABLE', `the hub did not start within a minute; see ${logFile}`)),
      60_000,
    )
    hub.start((message) => {
      if (!isReady(message)) return
      clearTimeout(timer)
      resolve(message)
    })
  })
}
