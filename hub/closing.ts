/** How the hub stops listening: answers in progress may end, and nothing else holds it up. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { App } from './app.ts'

/** An answer that takes longer is cut: whoever runs the hub waits for it to stop, and a trainer's upload is begun anew. */
const graceMilliseconds = 5_000

/**
 * Node waits for every connection that is not idle, and one on which nothing was asked yet counts as busy for a minute.
 * Browsers keep such a one in reserve, so the app closes all (`forceCloseConnections`) as soon as the answers in progress have ended.
 */
export function letAnswersEnd(app: App): void {
  const inProgress = new Set<Promise<void>>()
  app.addHook('onRequest', async (_request, reply) => {
    const ended = new Promise<void>((resolve) => reply.raw.once('close', resolve))
    inProgress.add(ended)
    void ended.then(() => inProgress.delete(ended))
  })
  app.addHook('preClose', async () => {
    const grace = new AbortController()
    await Promise.race([Promise.all(inProgress), sleep(graceMilliseconds, undefined, { signal: grace.signal })])
    grace.abort()
  })
}
