/**
 * Time of one training step of the built-in detector (forward, loss, gradients, AdamW; batch 8), and PyTorch's beside it in turns when
 * a Python with torch is named: the same network, batch and pictures of noise.
 *
 *   npm run bench:step -- [--size 320] [--rounds 5] [--python python3]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cellsOf } from '../../trainer/detector/cells.ts'
import { coreOf } from '../../trainer/detector/core.ts'
import { losses, trainingGraph } from '../../trainer/detector/loss.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import { targetsOf } from '../../trainer/detector/targets.ts'
import { cpuDialect } from '../../trainer/engine/dialect.ts'
import { compileStep, type Slot, total } from '../../trainer/engine/step-graph.ts'
import { StepRunner } from '../../trainer/engine/step-runner.ts'
import { initialState } from '../../trainer/engine/trainer-state.ts'

const { values } = parseArgs({
  options: { size: { type: 'string', default: '320' }, rounds: { type: 'string', default: '5' }, python: { type: 'string' } },
})
const size = Number(values.size)
const stepsPerRound = 8
const classes = ['a', 'b', 'c', 'd', 'e', 'f']
const [parts, micro] = [2, 4]

const random = new Random(1)
const { graph, specification } = plainNetwork({ width: size, height: size, classes, random })
const core = coreOf(graph, specification)
const dialect = await cpuDialect()
const positives = 96 * micro
const names = [...core.initializers].filter(([name]) => /\.(weight|scale|bias)$/.test(name)).map(([name]) => name)
const step = compileStep({
  graph: trainingGraph(core, specification, { batch: micro, width: size, height: size, positives }),
  losses: [...losses],
  parameters: names,
  dialect,
})
const pack = (slots: readonly Slot[]) => {
  const flat = new Float32Array(total(slots))
  for (const { name, offset } of slots) flat.set(core.initializers.get(name)!.data as Float32Array, offset)
  return flat
}
const runner = new StepRunner({
  step,
  losses: [...losses],
  state: initialState(pack(step.parameters), pack(step.statistics)),
  workers: parts,
  decay: () => 0.02,
})
const cells = cellsOf({ width: size, height: size, strides: specification.strides })
const labels = () =>
  Array.from({ length: 6 }, () => {
    const [w, h] = [16 + random.integer(80), 16 + random.integer(80)]
    const [x, y] = [random.integer(size - w), random.integer(size - h)]
    return { box: [x, y, x + w, y + h] as const, label: random.integer(classes.length) }
  })
const batches = Array.from({ length: parts }, () => ({
  image: {
    type: 'uint8' as const,
    shape: [micro, size, size, 3],
    data: Uint8Array.from({ length: micro * size * size * 3 }, () => random.integer(256)),
  },
  ...targetsOf(Array.from({ length: micro }, labels), { cells, classes: classes.length, positives, oneHot: false }),
}))

async function ours(): Promise<number> {
  const begun = performance.now()
  for (let i = 0; i < stepsPerRound; i++) await runner.run(batches, { rate: 1e-4, averageDecay: 0.99 })
  return (performance.now() - begun) / stepsPerRound
}

await runner.start()
await ours()
const python = values.python
  ? spawn(
      values.python,
      [
        fileURLToPath(new URL('../../../tests/bench/train-step.py', import.meta.url)),
        String(size),
        String(micro * parts),
        String(classes.length),
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    )
  : null
const answers = python ? createInterface(python.stdout) : null
async function theirs(): Promise<number> {
  python!.stdin.write(`${stepsPerRound}\n`)
  const [line] = (await once(answers!, 'line')) as [string]
  return Number(line)
}
if (python) await theirs()
console.log(
  `${cpus().length} cores, ${cpus()[0]?.model}; node ${process.version}; ${dialect}; ${total(step.parameters)} parameters, ${size} px, batch ${micro * parts}`,
)
const rows: { ours: number; torch: number }[] = []
// Both orders in turn, so that a drift of the machine meets both alike.
for (let round = 0; round < Number(values.rounds); round++) {
  if (!python) rows.push({ ours: await ours(), torch: Number.NaN })
  else if (round % 2 === 0) {
    const first = await ours()
    rows.push({ ours: first, torch: await theirs() })
  } else {
    const torch = await theirs()
    rows.push({ ours: await ours(), torch })
  }
}
console.table(
  rows.map(({ ours: a, torch: b }) => ({
    'ours, ms': a.toFixed(0),
    'PyTorch channels_last, ms': b.toFixed(0),
    'PyTorch / ours': (b / a).toFixed(2),
  })),
)
const median = (some: number[]) => some.sort((a, b) => a - b)[some.length >> 1]!
console.log(
  `median: ours ${median(rows.map((row) => row.ours)).toFixed(0)} ms, PyTorch ${median(rows.map((row) => row.torch)).toFixed(0)} ms, ratio ${median(rows.map((row) => row.torch / row.ours)).toFixed(2)}; our peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`,
)
python?.stdin.end()
await runner.stop()
