/** A real Mosquitto on a free port, as the external broker of a test. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Why there is no Mosquitto here; false when there is one. */
export const noMosquitto = spawnSync('mosquitto', ['-h']).error ? 'mosquitto is not installed' : false

export interface Mosquitto {
  readonly url: string
  /** Ends it without a word, as a power cut would. */
  kill(): Promise<void>
  /** On the same port again, with what its last snapshot had: after a kill nothing that came since (mosquitto.conf, autosave_interval). */
  restart(): Promise<void>
}

export async function startMosquitto(t: { after(close: () => Promise<void>): void }): Promise<Mosquitto> {
  const folder = mkdtempSync(join(tmpdir(), 'muninn-mosquitto-'))
  const port = await freePort()
  const config = join(folder, 'mosquitto.conf')
  writeFileSync(
    config,
    `listener ${port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location ${folder}/\nuser root\n`,
  )
  let child: ChildProcess
  const start = async () => {
    child = spawn('mosquitto', ['-c', config], { stdio: 'ignore' })
    await listens(port)
  }
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  await start()
  t.after(async () => {
    await kill()
    rmSync(folder, { recursive: true, force: true })
  })
  return { url: `mqtt://127.0.0.1:${port}`, kill, restart: start }
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return address.port
}

/** A program says nothing when it begins to listen: try until it does. */
async function listens(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const socket = connect(port, '127.0.0.1')
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return
    await sleep(25)
  }
  throw new Error(`mosquitto does not listen on port ${port}`)
}
