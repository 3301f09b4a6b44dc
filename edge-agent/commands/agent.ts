/** `muninn agent`: runs the edge agent beside its cameras until it is told to stop. */
import { readFile } from 'node:fs/promises'
import { defineCommand } from 'citty'
import { pino } from 'pino'
import { MuninnError } from '../../protocol/errors.ts'
import { version } from '../../protocol/version.ts'
import { Agent } from '../agent.ts'
import { Camera } from '../cameras/camera.ts'
import { readAgentConfig } from '../read-config.ts'

export const agent = defineCommand({
  meta: {
    name: 'agent',
    description: `Runs beside the cameras: looks, chooses the frames worth a label, sends them, takes new models.

The hub's page writes the file for you (Fleet, Add device). By hand:
  device: crossing-7
  hub: { url: mqtt://hub.city:1883, password: … }
  publicKey: …                       # the hub's, from the same page
  dataFolder: ./crossing-7
  cameras:
    - { id: north, source: rtsp://10.0.0.5/stream1 }

  muninn agent --config agent.yaml`,
  },
  args: {
    config: { type: 'string', required: true, description: 'the agent.yaml of this device' },
    'log-level': { type: 'string', default: 'info', description: 'debug, info, warn or error' },
  },
  async run({ args }) {
    const level = args['log-level']
    if (!['debug', 'info', 'warn', 'error'].includes(level)) {
      throw new MuninnError('INVALID_INPUT', `--log-level ${level}: it is debug, info, warn or error`)
    }
    const config = await readAgentConfig(args.config)
    const log = pino({ level, base: { device: config.device } })
    const ca = config.hub.ca && (await readFile(config.hub.ca, 'utf8'))
    const stopped = new Promise<NodeJS.Signals>((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve)
    })
    const running = new Agent({ config, version, log, openCamera: (camera) => new Camera(camera), ...(ca && { ca }) })
    await running.start()
    log.info({ cameras: config.cameras.length }, 'the agent runs')
    log.info({ signal: await stopped }, 'stopping')
    await running.stop()
  },
})
