/** The line between a page and a hub, which can be cut as a cable is: nothing arrives, and neither side hears that the other is gone. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

interface Closing {
  after(close: () => Promise<void>): void
}

export interface Wire {
  /** Where the page finds the hub. */
  readonly origin: string
  cut(): void
  /** What was under way arrives now. */
  mend(): void
}

/** @param t the test after which it is closed */
export async function startWire(t: Closing, to: string): Promise<Wire> {
  const sockets = new Set<Socket>()
  let whole = true
  const carry = (from: Socket, to: Socket) => {
    from.on('data', (bytes) => to.write(bytes))
    from.on('error', () => to.destroy())
    from.on('close', () => {
      sockets.delete(from)
      to.end()
    })
    if (!whole) from.pause()
    sockets.add(from)
  }
  const server = createServer((page) => {
    const hub = connect(Number(new URL(to).port), '127.0.0.1')
    carry(page, hub)
    carry(hub, page)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => {
      whole = false
      for (const socket of sockets) socket.pause()
    },
    mend: () => {
      whole = true
      for (const socket of sockets) socket.resume()
    },
  }
}
