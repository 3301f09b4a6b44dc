/** `muninn hub`: reads flags and environment, builds the hub, starts it, stops it on a signal. */
import { defineCommand } from 'citty'
import pino from 'pino'
import { HubConfig } from '../../protocol/config.ts'
import { parse } from '../../protocol/parse.ts'
import { buildHub } from '../hub.ts'

export const hub = defineCommand({
  meta: {
    name: 'hub',
    description: `Runs the hub: page, API, broker, database.

  muninn hub --data ./muninn-data/hub --port 8080 --mqtt-port 1883
  muninn hub --broker mqtts://hub:password@broker.example:8883`,
  },
  args: {
    data: { type: 'string', default: './muninn-data/hub', description: 'folder for everything that is kept' },
    host: { type: 'string', default: '127.0.0.1', description: 'address the page and the broker listen on' },
    port: { type: 'string', default: '8080', description: 'port of the page; 0: any free one' },
    'mqtt-port': { type: 'string', default: '1883', description: 'port of the embedded broker; 0: any free one' },
    'public-mqtt-url': { type: 'string', description: 'what devices are told to connect to' },
    broker: { type: 'string', description: 'an external broker, mqtt(s)://user:password@host, instead of the embedded one' },
    database: { type: 'string', description: 'postgres://… instead of SQLite in the data folder' },
    'log-level': { type: 'string', default: 'info', description: 'debug, info, warn or error' },
    demo: { type: 'boolean', description: 'the demo street: pictures may label themselves' },
  },
  async run({ args }) {
    const config = parse(
      HubConfig,
      {
        dataFolder: args.data,
        host: args.host,
        port: Number(args.port),
        mqttPort: Number(args['mqtt-port']),
        demo: args.demo ?? false,
        ...(args['public-mqtt-url'] && { publicMqttUrl: args['public-mqtt-url'] }),
        ...(args.broker && { broker: args.broker }),
        ...(args.database && { database: args.database }),
      },
      'flags',
    )
    const bootstrapToken = process.env.MUNINN_BOOTSTRAP_TOKEN
    const log = pino({ level: args['log-level'] })
    const running = await buildHub(config, { log, ...(bootstrapToken && { bootstrapToken }) })
    const stopped = new Promise<void>((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve())
    })
    const { url, mqttUrl } = await running.start().catch(async (error: unknown) => {
      // What did start would keep the process alive.
      await running.stop().catch(() => {})
      throw error
    })
    const signInUrl = `${url}/?token=${running.accounts.newLinkToken()}`
    process.send?.({ ready: true, url, signInUrl, mqttUrl })
    console.log(`Muninn's hub is at ${url}, its broker at ${mqttUrl}. Sign in once with this link:\n\n  ${signInUrl}\n`)
    await stopped
    await running.stop()
  },
})
