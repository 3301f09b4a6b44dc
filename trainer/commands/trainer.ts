/** `muninn trainer`: works off the runs of a hub. */
import { cpus, hostname } from 'node:os'
import { resolve } from 'node:path'
import { defineCommand } from 'citty'
import { MuninnError } from '../../protocol/errors.ts'
import { parseDevice } from '../engine/devices/choose-device.ts'
import { cpuDialect } from '../engine/dialect.ts'
import { parseThreads } from '../engine/threads.ts'
import { HubApi } from '../hub-client/hub-api.ts'
import { HubTrainer } from '../hub-client/trainer.ts'
import { lowerPriority } from '../priority.ts'

export const trainer = defineCommand({
  meta: {
    name: 'trainer',
    description: `Asks a hub for training runs and works them off. Any number may work for one hub; a trainer that dies is followed by another, from its last checkpoint.

  MUNINN_TOKEN=… muninn trainer --hub http://hub.city:8080

The token (role trainer) comes from the hub's page: Settings, Tokens. It works at a lower priority (nice 10): cameras and a hub on the same
machine go first.`,
  },
  args: {
    hub: { type: 'string', required: true, description: "the hub's address" },
    token: { type: 'string', description: 'its token; better in the environment as MUNINN_TOKEN, where others cannot see it' },
    data: { type: 'string', default: './muninn-data/trainer', description: 'folder for fetched files and checkpoints' },
    device: {
      type: 'string',
      default: 'auto',
      description:
        'cpu, webgpu or cuda; auto measures a few steps of each run on each that is there and says what it takes and why',
    },
    threads: { type: 'string', description: 'cores of the processor that it may keep busy; left out: all of them' },
    name: { type: 'string', default: hostname(), description: 'how the hub calls it' },
  },
  async run({ args }) {
    const token = args.token ?? process.env.MUNINN_TOKEN
    if (!token)
      throw new MuninnError('INVALID_INPUT', 'no token: set MUNINN_TOKEN to one with the role trainer (Settings, Tokens)')
    const log = (words: string) => console.log(`${new Date().toISOString()} ${words}`)
    const device = parseDevice(args.device)
    const threads = parseThreads(args.threads)
    lowerPriority()
    const machine = `${cpus().length} x ${cpus()[0]?.model.trim() ?? 'CPU'} (${await cpuDialect()}), --device ${device}${args.threads ? ` --threads ${threads}` : ''}`
    const running = new HubTrainer({
      api: new HubApi({ url: args.hub, token }),
      folder: resolve(args.data),
      name: args.name,
      machine,
      device,
      threads,
      log,
    })
    const stopped = new Promise<void>((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
    })
    running.start()
    log(`works for ${args.hub} on ${machine}`)
    await stopped
    await running.stop()
  },
})
