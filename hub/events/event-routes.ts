/** GET /api/events: server-sent events (WHATWG HTML, 9.2). Several changes of one kind within a moment are told once. */
import type { HubEvent } from '../../protocol/http/fleet.ts'
import { pulse } from '../../protocol/http/pulse.ts'
import type { App } from '../app.ts'
import type { HubParts } from '../hub.ts'

const restMilliseconds = 300
const frequent: ReadonlySet<HubEvent['kind']> = new Set(['sample', 'task', 'device', 'telemetry'])
/** A page that does not read what it is told is let go; it comes back by itself and reads everything again. */
const maxUnreadBytes = 1024 * 1024
/** Keeps proxies from closing a quiet connection. A comment would do that too, but no page sees one; nor an event without data (9.2.6). */
const beat = `event: ${pulse.event}\ndata: {}\n\n`

export function eventRoutes(app: App, { access, events }: HubParts): void {
  const open = new Set<() => void>()
  app.addHook('preClose', async () => {
    for (const close of open) close()
  })

  app.get('/api/events', { onRequest: access.authenticate('viewer') }, (request, reply) => {
    reply.hijack()
    const { raw } = reply
    raw.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      connection: 'keep-alive',
      'x-accel-buffering': 'no',
    })
    raw.write(': hello\n\n')
    const waiting = new Map<string, HubEvent>()
    let timer: NodeJS.Timeout | undefined
    const flush = () => {
      timer = undefined
      for (const event of waiting.values()) raw.write(`data: ${JSON.stringify(event)}\n\n`)
      waiting.clear()
      if (raw.writableLength > maxUnreadBytes) raw.destroy()
    }
    const unsubscribe = events.subscribe((event) => {
      // Of these there are many: which one changed does not matter to any page.
      const key = frequent.has(event.kind) ? event.kind : `${event.kind} ${event.id ?? ''}`
      waiting.set(key, event)
      timer ??= setTimeout(flush, restMilliseconds)
    })
    // The stream's socket keeps the process alive, its pulse does not.
    const beating = setInterval(() => raw.write(beat), pulse.milliseconds).unref()
    const close = () => {
      unsubscribe()
      clearTimeout(timer)
      clearInterval(beating)
      open.delete(close)
      raw.end()
    }
    open.add(close)
    request.raw.on('close', close)
  })
}
