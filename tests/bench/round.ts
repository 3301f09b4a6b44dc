/**
 * One whole round of the demo as `npm start` runs it, unattended: minutes from the first hard frame to the device running the new model,
 * mAP50 before and after, and the peak resident memory of each process (VmHWM of Linux's /proc; elsewhere it is left out).
 *
 *   npm run bench:round [-- --rounds 1]
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '1' } } })
const main = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const sampleEvery = 500

/** Peak megabytes by what the process is, as far as they are seen while it runs. */
class PeakMemory {
  readonly peaks = new Map<string, number>()

  /** Processes of this `up` that run now. */
  look(up: number): number[] {
    if (!existsSync('/proc/self/status')) return []
    const parents = new Map<number, number>()
    const names = new Map<number, string>()
    for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const pid = Number(entry)
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8')
        parents.set(pid, Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]))
        const name = this.#nameOf(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0'))
        const peak = Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024
        names.set(pid, name)
        // A process that has ended and was not yet waited for has no memory any more.
        if (peak > 0 && this.#isOf(pid, up, parents)) this.peaks.set(name, Math.max(this.peaks.get(name) ?? 0, peak))
      } catch {
        // It ended between the list and the look.
      }
    }
    return [...names.keys()].filter((pid) => this.#isOf(pid, up, parents))
  }

  #isOf(pid: number, up: number, parents: ReadonlyMap<number, number>): boolean {
    for (let at: number | undefined = pid; at !== undefined && at > 1; at = parents.get(at)) if (at === up) return true
    return false
  }

  #nameOf(args: readonly string[]): string {
    const script = args.findIndex((arg) => arg.endsWith('.js'))
    const [path = '', command = ''] = args.slice(Math.max(0, script))
    return path === main ? command : path.split('/').at(-1)!.replace('.js', '')
  }
}

const folder = mkdtempSync(join(tmpdir(), 'muninn-round-'))
console.log(`${cpus().length} cores, ${cpus()[0]?.model}; node ${process.version}`)
const begun = Date.now()
const up = spawn(process.execPath, [main, 'up', '--data', folder, '--self-label', 'at-once', '--auto-deploy'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
const memory = new PeakMemory()
const timer = setInterval(() => memory.look(up.pid!), sampleEvery)
const ended = new Promise<void>((resolve) => up.once('exit', () => resolve()))
let done = 0
try {
  for await (const line of createInterface({ input: up.stdout! })) {
    console.log(line)
    const round = /round (\d+): done in (\S+) min with \d+ labels; mAP50 (\S+) -> ([\d.]+)/.exec(line)
    if (!round || Number(round[1]) <= done) continue
    done = Number(round[1])
    console.log(
      `round ${round[1]}: ${round[2]} min, mAP50 ${round[3]} -> ${round[4]}; ${((Date.now() - begun) / 60_000).toFixed(1)} min after the start`,
    )
    if (done >= Number(values.rounds)) break
  }
} finally {
  const running = memory.look(up.pid!)
  clearInterval(timer)
  up.kill('SIGINT')
  await ended
  const left = running.filter((pid) => existsSync(`/proc/${pid}`))
  console.table([...memory.peaks].map(([name, peak]) => ({ process: name, 'peak MB': Math.round(peak) })))
  console.log(`stopped by SIGINT with exit code ${up.exitCode}; ${left.length} processes left`)
  rmSync(folder, { recursive: true, force: true })
}
