/** Looks at an untrusted ONNX file from a safe distance: in a process of its own, with a time-out and a bound on its memory. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type ErrorCode, errors, MuninnError } from '../../protocol/errors.ts'
import { parse } from '../../protocol/parse.ts'
import { type Inspection, type PictureSize, ProbeMessage, type Verdict } from './inspection.ts'

const entry = fileURLToPath(new URL('./probe-main.js', import.meta.url))

export interface ProbeLimits {
  readonly seconds?: number
  readonly mebibytes?: number
  /** Of the picture, for a file that leaves it open; left out: common ones are tried. */
  readonly size?: PictureSize | undefined
}

type Partially = { -readonly [K in keyof Inspection]?: Inspection[K] }

interface Ended {
  readonly found: Partially
  readonly failure?: { readonly code: string; readonly message: string }
  /** Why the process ended before it was done. */
  readonly death?: string
}

const knownCode = (code: string): ErrorCode => (Object.hasOwn(errors, code) ? (code as ErrorCode) : 'BAD_MODEL')

/** Runs the probing process to its end, however that comes. */
function probe(path: string, depth: 'run' | 'whole', { seconds = 60, mebibytes = 4096, size }: ProbeLimits): Promise<Ended> {
  return new Promise((resolve) => {
    const child = fork(entry, [path, String(mebibytes), depth, ...(size ? [`${size.width}x${size.height}`] : [])], {
      execArgv: [`--max-old-space-size=${mebibytes}`],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    const found: Partially = {}
    let failure: Ended['failure']
    let doing = 'starting'
    let last = ''
    let late = false
    const timer = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
    }, seconds * 1000)
    child.stderr?.on('data', (chunk: Buffer) => {
      last = (last + chunk.toString()).slice(-2000)
    })
    child.on('message', (raw) => {
      const message = parse(ProbeMessage, raw, 'a message of the probing process')
      switch (message.kind) {
        case 'doing':
          doing = message.what
          break
        case 'failed':
          failure = message
          break
        case 'header':
          found.header = message.header
          break
        default:
          found[message.kind] = message.verdict
      }
    })
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      const cause =
        /more than \d+ MiB of memory/.exec(last)?.[0] ?? (last.includes('heap out of memory') ? 'too much memory' : '')
      const how = late ? `after ${seconds} s` : `(${signal ?? `exit code ${code}`}${cause && `: it takes ${cause}`})`
      const death = code === 0 ? undefined : `the process that tried it was ended ${how} while ${doing}`
      resolve({ found, ...(failure && { failure }), ...(death !== undefined && { death }) })
    })
  })
}

const unlessDone = (verdict: Verdict | undefined, why: string): Verdict => verdict ?? { can: false, why }

/**
 * What the file is and what can be done with it.
 * @throws MuninnError NOT_FOUND, TOO_LARGE, BAD_MODEL when it cannot even be read
 */
export async function inspect(path: string, limits: ProbeLimits = {}): Promise<Inspection> {
  const { found, failure, death } = await probe(path, 'whole', limits)
  if (failure && !found.header) throw new MuninnError(knownCode(failure.code), failure.message)
  if (!found.header) throw new MuninnError('BAD_MODEL', `${path}: ${death ?? 'it could not be read'}`)
  const why = death ?? failure?.message ?? 'it was not tried'
  return {
    header: found.header,
    run: unlessDone(found.run, why),
    adopt: unlessDone(found.adopt, why),
    fineTune: unlessDone(found.fineTune, why),
  }
}

/**
 * Lets a file into this process only after another one has read, loaded and run it.
 * @throws MuninnError NOT_FOUND, TOO_LARGE, BAD_MODEL saying what it did
 */
export async function assertRuns(path: string, limits: ProbeLimits = {}): Promise<void> {
  const { found, failure, death } = await probe(path, 'run', limits)
  if (failure) throw new MuninnError(knownCode(failure.code), failure.message)
  if (found.run?.can) return
  const why = found.run?.why ?? death ?? 'it could not be read'
  throw new MuninnError('BAD_MODEL', `${path} cannot be run: ${why}${found.run?.cure ? `; what helps: ${found.run.cure}` : ''}`)
}
