/**
 * Images a second of training (forward, loss, gradients, AdamW) of the built-in detector and of YOLOX-nano, PyTorch's beside them
 * in turns when a Python with torch is named, and the whole training (pictures decoded, augmented and assigned on the way) against a
 * step on resident data. Each contender is a process of its own. On another device than the processor PyTorch uses CUDA; memory and
 * processor time are then those of the process that feeds the device.
 *
 *   npm run bench:train -- [--cases plain-320,plain-416,yolox-416] [--device cpu|webgpu|cuda] [--batch 8] [--rounds 7] [--steps 6] [--python python3]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cpus } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { trainerEnvironment } from '../../trainer/environment.ts'
import { lacks, sharedData } from '../support/shared-data.ts'

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: 'plain-320,plain-416,yolox-416' },
    device: { type: 'string', default: 'cpu' },
    batch: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '7' },
    steps: { type: 'string', default: '6' },
    python: { type: 'string' },
  },
})
const batch = Number(values.batch)
const onProcessor = values.device === 'cpu'
const steps = Number(values.steps)
const cores = cpus().length
const yoloxFile = 'models/yolox-nano/yolox_nano.onnx'
const script = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** A process that answers each line with numbers. */
class Contender {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } })
    this.#lines = createInterface(this.#child.stdout!)[Symbol.asyncIterator]()
  }

  async ask(words: string): Promise<number[]> {
    this.#child.stdin!.write(`${words}\n`)
    const { value, done } = await this.#lines.next()
    if (done) throw new Error('a contender ended early')
    return value.split(' ').map(Number)
  }

  stop(): void {
    this.#child.stdin!.end()
  }
}

interface Entry {
  readonly name: string
  readonly command: string
  /** More than one: they share the batch, and the slowest is what counts. */
  readonly contenders: readonly Contender[]
  readonly milliseconds: number[]
  readonly processor: number[]
}

async function turn({ contenders, command, milliseconds, processor }: Entry): Promise<void> {
  const answers = await Promise.all(contenders.map((each) => each.ask(`${command} ${steps}`)))
  milliseconds.push(Math.max(...answers.map(([wall]) => wall!)))
  processor.push(sum(answers.map(([, used]) => used!)))
}

const sum = (some: readonly number[]) => some.reduce((total, each) => total + each, 0)

const median = (some: readonly number[]) => some.toSorted((a, b) => a - b)[some.length >> 1]!

async function measure(name: string): Promise<void> {
  const [network, size] = name.split('-') as [string, string]
  if (network === 'yolox' && lacks(yoloxFile)) {
    console.log(`${name}: left out, for ${lacks(yoloxFile)}`)
    return
  }
  const classes = network === 'yolox' ? '80' : '6'
  const model = network === 'yolox' ? [sharedData(yoloxFile)] : []
  const engine = new Contender(
    process.execPath,
    [script('train-engine.js'), ...[network, size, String(batch), classes, values.device], ...model],
    trainerEnvironment,
  )
  const torch = (share: number, threads: number, format: string) =>
    new Contender(values.python!, [
      script('../../../tests/bench/train-torch.py'),
      ...[network, size, String(batch / share), classes, String(threads), format, onProcessor ? 'cpu' : 'cuda'],
      ...model,
    ])
  const entries: Entry[] = [
    { name: 'muninn', command: 'step', contenders: [engine], milliseconds: [], processor: [] },
    { name: 'muninn, loading included', command: 'whole', contenders: [engine], milliseconds: [], processor: [] },
  ]
  if (values.python) {
    for (const format of ['channels_last', 'nchw'])
      entries.push({
        name: `PyTorch ${format}`,
        command: 'step',
        contenders: [torch(1, cores, format)],
        milliseconds: [],
        processor: [],
      })
    if (onProcessor && batch % cores === 0) {
      // The gradients of the two are not even exchanged.
      const halves = Array.from({ length: cores }, () => torch(cores, 1, 'channels_last'))
      entries.push({
        name: `PyTorch channels_last, ${cores} processes`,
        command: 'step',
        contenders: halves,
        milliseconds: [],
        processor: [],
      })
    }
  }
  // The first steps set up memory and kernels, and compile what makes batches.
  for (let i = 0; i < 4; i++) for (const entry of entries) await turn({ ...entry, milliseconds: [], processor: [] })
  for (let round = 0; round < Number(values.rounds); round++) {
    // Both orders in turn, so that a drift of the machine meets all alike.
    for (const entry of round % 2 === 0 ? entries : entries.toReversed()) await turn(entry)
  }
  const ours = entries[0]!
  const rows = []
  for (const { name: who, contenders, milliseconds, processor } of entries) {
    const memory = await Promise.all(contenders.map((each) => each.ask('memory')))
    rows.push({
      contender: who,
      'ms a step': Number(median(milliseconds).toFixed(1)),
      'images/s': Number(((batch * 1000) / median(milliseconds)).toFixed(1)),
      // Of the same round each, so that a slow minute does not count for one side only.
      'its time / muninn': Number(median(milliseconds.map((each, i) => each / ours.milliseconds[i]!)).toFixed(2)),
      // Steadier than the clock where others use the machine, too.
      'processor ms': Number(median(processor).toFixed(0)),
      'peak MB': Math.round(sum(memory.map(([peak]) => peak!))),
    })
  }
  console.log(`${name}: batch ${batch}, ${values.rounds} rounds of ${steps} steps, medians`)
  console.table(rows)
  for (const each of new Set(entries.flatMap(({ contenders }) => contenders))) each.stop()
}

if (values.python && !existsSync(values.python) && values.python.includes('/')) throw new Error(`${values.python} is not there`)
console.log(`${cores} cores, ${cpus()[0]?.model}; node ${process.version}`)
for (const name of values.cases.split(',')) await measure(name)
