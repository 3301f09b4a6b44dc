/** Finds a port to listen on, so that a busy one (another broker, say) does not stop a newcomer. */
import { createServer } from 'node:net'

/** `wanted` when it is free on `host`, else one that the system picks. */
export async function freePort(wanted: number, host: string): Promise<number> {
  for (const port of [wanted, 0]) {
    const server = createServer()
    const free = await new Promise<number | null>((resolve) => {
      server.once('error', () => resolve(null))
      server.listen(port, host, () => {
        const address = server.address()
        const found = typeof address === 'object' && address ? address.port : null
        server.close(() => resolve(found))
      })
    })
    if (free !== null) return free
  }
  return wanted
}
