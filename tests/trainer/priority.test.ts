/** A trainer lets everything else go first, by what Linux tells of a process that has asked for it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { text } from 'node:stream/consumers'
import { describe, it } from 'node:test'

const room = new URL('../../trainer/priority.js', import.meta.url).href
const session = '/proc/self/autogroup'

/** Niceness of each thread, and the words for the session, of a program that has lowered its priority. */
const asks = `
  const { readdirSync, readFileSync, existsSync } = await import('node:fs')
  const { getPriority } = await import('node:os')
  const { lowerPriority } = await import('${room}')
  lowerPriority()
  const threads = readdirSync('/proc/self/task').map((id) => getPriority(Number(id)))
  const session = existsSync('${session}') ? readFileSync('${session}', 'utf8') : null
  console.log(JSON.stringify({ threads, session }))
`

async function lowered(command: readonly string[], { detached }: { detached: boolean }) {
  const [program, ...args] = [...command, process.execPath, '--input-type=module', '-e', asks]
  const child = spawn(program!, args, { detached, stdio: ['ignore', 'pipe', 'inherit'] })
  return JSON.parse(await text(child.stdout!)) as { threads: number[]; session: string | null }
}

describe('a lowered priority', { skip: process.platform !== 'linux' && 'only Linux shows it' }, () => {
  const own = getPriority()

  it('is that of every thread, also of those that were there before', async () => {
    const { threads } = await lowered([], { detached: false })
    assert.ok(threads.length > 1)
    assert.deepEqual([...new Set(threads)], [Math.max(10, own)])
  })

  it('is no higher than the one that it was started with', async () => {
    const { threads } = await lowered(['nice', '-n', '14'], { detached: false })
    assert.deepEqual([...new Set(threads)], [Math.min(19, own + 14)])
  })

  it("is its session's too where that is its own, and not where it is others'", {
    skip: !existsSync(session) && 'there are no autogroups',
  }, async () => {
    assert.match((await lowered([], { detached: true })).session!, /nice 10$/m)
    const before = readFileSync(session, 'utf8')
    assert.equal((await lowered([], { detached: false })).session, before)
  })
})
